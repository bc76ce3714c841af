"""Where provider keys come from: the environment first, then the vault, which is read again when it is another one."""

import logging
import os
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from gateway.config.environ import Environment
from gateway.domain.model import Provider
from gateway.domain.secret import Secret
from gateway.errors import Problem, RolegateError
from gateway.file_errors import ConfigInvalid, VaultLocked, VaultUnreadable

if TYPE_CHECKING:
    from gateway.vault.vault import Opener, Vault

VAULT_FILE: Final = "api_keys.json"
"""In the configuration folder."""
KEY_FILE: Final = "vault.key"
"""In the state folder: what opens a vault that has no passphrase."""
PASSPHRASE: Final = "ROLEGATE_VAULT_PASSPHRASE"

_OWN_SECRETS: Final = (PASSPHRASE, "ROLEGATE_CLIENT_KEY", "ROLEGATE_ADMIN_KEY")
_SUFFIX: Final = "_API_KEY"
_SHORTEST_MASKED: Final = 8
"""A shorter value of a variable that no provider here goes by is a word that logs need, rather than a key."""

Origin = Literal["environment", "vault"]
Lock = Literal["", "passphrase", "key_file"]
Heard = Callable[[Secret], None]
Moved = Callable[[str], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Vaulted:
    """The vault as it was last seen. ``lock`` is what opens it, empty where there is none; ``held`` are the providers that it has
    a key of, as it shows without being opened; ``keys`` what was in it when it could last be opened, ``etag`` which content that
    was, and ``marks`` when each key was put in. ``trouble`` is why it cannot be now."""

    lock: Lock = ""
    held: frozenset[str] = frozenset()
    keys: Mapping[str, Secret] = field(default_factory=dict)
    etag: str = ""
    marks: Mapping[str, str] = field(default_factory=dict)
    trouble: RolegateError | None = None
    warnings: tuple[str, ...] = ()


_NONE: Final = _Vaulted()
_log = logging.getLogger(__name__)


class ProviderKeys:
    """Implements ``KeySource``. A key in a ``<PROVIDER>_API_KEY`` variable counts before the one in the vault.

    The variables are those of the start. The vault is opened when it is first needed and again when its file has changed; one
    that cannot be opened any more leaves the keys that were known, and ``require`` says what is wrong with it. ``key`` may be
    called from any thread, for every request.
    """

    def __init__(
        self, *, environment: Environment, config_folder: Path, state_folder: Path, passphrase: Secret | None = None
    ) -> None:
        """``passphrase`` is one that was asked for; without it, that of the environment counts."""
        self.path = config_folder / VAULT_FILE
        self.key_file = state_folder / KEY_FILE
        self._environment = environment
        self._passphrase = passphrase or _variable(environment, PASSPHRASE)
        self._lock = threading.Lock()
        self._vaulted = _NONE
        self._known: dict[str, Secret | None] = {}
        self._heard: list[Heard] = []
        self._moved: list[Moved] = []

    def key(self, provider: str) -> Secret | None:
        """See ``KeySource``."""
        known = self._known
        try:
            return known[provider]
        except KeyError:
            # A dictionary of its own for every reading: what is found now is not taken for what comes to be known meanwhile.
            found = known[provider] = self._environment.provider_key(provider) or self._vaulted.keys.get(provider)
            return found

    def origin(self, provider: str) -> Origin | None:
        """Which of the two a provider's key comes from. A locked vault says which keys it has, not what they are."""
        if self._environment.provider_key(provider) is not None:
            return "environment"
        return "vault" if provider in self._vaulted.held else None

    @property
    def held(self) -> frozenset[str]:
        """The providers that the vault has a key of, whether it counts or not."""
        return self._vaulted.held

    @property
    def lock(self) -> Lock:
        """What opens the vault, as it shows without being opened; empty where there is no vault."""
        return self._vaulted.lock

    @property
    def wants_passphrase(self) -> bool:
        """Is there a vault that a passphrase would open, and none was given?"""
        return self.lock == "passphrase" and self._passphrase is None

    @property
    def trouble(self) -> RolegateError | None:
        """Why the vault could not be read; ``None`` if it could, or that was not tried."""
        return self._vaulted.trouble

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is doubtful about the vault, in sentences; why it cannot be opened, if that was tried, is one of them."""
        trouble = self._vaulted.trouble
        return (*self._vaulted.warnings, *([f"{trouble}; {trouble.hint}"] if trouble is not None else []))

    def known_to(self, providers: Iterable[Provider]) -> tuple[Provider, ...]:
        """The providers with ``has_key`` where a key of theirs is in the vault."""
        return tuple(
            replace(one, has_key=True) if one.key_variable and not one.has_key and one.name in self.held else one
            for one in providers
        )

    def tell(self, heard: Heard) -> None:
        """``heard`` is told every secret that is known now, and each that comes to be known: it must not be shown."""
        self._heard.append(heard)
        for secret in self._secrets():
            heard(secret)

    def when_moved(self, moved: Moved) -> None:
        """``moved`` is told the provider whose key was put in again, be it the same, or taken out, in the thread that has read
        it."""
        self._moved.append(moved)

    def look(self) -> None:
        """See which keys the vault has, without opening it. Blocks for the disk; never raises."""
        with self._lock:
            self._vaulted = self._looked(self._vaulted)

    def read(self) -> None:
        """Open the vault, if it is not the one that was opened before. Blocks, for a tenth of a second where a passphrase is
        checked; never raises, since what cannot be opened may not be needed."""
        with self._lock:
            before = self._vaulted
            now = self._opened(self._looked(before))
            # Before anybody can use one of them.
            for secret in now.keys.values():
                for heard in self._heard:
                    heard(secret)
            self._vaulted = now
            moved = [
                name
                for name in {*before.keys, *now.keys}
                if (
                    _text(before.keys.get(name)) != _text(now.keys.get(name))
                    or before.marks.get(name) != now.marks.get(name)
                )
                and self._environment.provider_key(name) is None
            ]
            if moved:
                self._known = {}
        for name in moved:
            for hear in self._moved:
                hear(name)
        if moved and before is not _NONE:
            _log.info("provider keys were read again", extra={"providers": ", ".join(sorted(moved))})

    def require(self, providers: Collection[Provider]) -> None:
        """Raise ``VaultLocked`` or ``VaultUnreadable`` if the vault could not be read and one of ``providers`` needs it: its key
        is in there, or, where nobody can tell what is, it is a cloud provider without any other. ``ConfigInvalid`` for variables
        of theirs that cannot be a key."""
        self._require_variables(providers)
        trouble = self._vaulted.trouble
        if trouble is None:
            return
        unkeyed = [one for one in providers if one.key_variable and self._environment.provider_key(one.name) is None]
        held = self._vaulted.held
        readable = isinstance(trouble, VaultLocked)
        if any(one.name in held if readable else one.cloud for one in unkeyed):
            raise trouble

    def _require_variables(self, providers: Collection[Provider]) -> None:
        variables = [one.key_variable for one in providers if one.key_variable and not self._can_be_shown(one.name)]
        if variables:
            found, allowed = "characters that no header can carry", "a key: letters, digits and signs on one line"
            raise ConfigInvalid(
                [Problem(file="environment", key_path=one, found=found, allowed=allowed) for one in variables]
            )

    def _can_be_shown(self, provider: str) -> bool:
        given = self._environment.provider_key(provider)
        return given is None or given.may_be_a_key

    def open_for(self, providers: Iterable[Provider]) -> None:
        """Open the vault if the key of one of ``providers`` is in it and nowhere else. Blocks; never raises."""
        if any(self.origin(one.name) == "vault" for one in providers):
            self.read()

    def opener(self) -> "Opener":
        """What there is to open the vault with."""
        from gateway.vault.vault import opener

        return opener(passphrase=self._passphrase, key_file=self.key_file)

    def file_opener(self) -> "Opener":
        """The key file, whatever else there is."""
        from gateway.vault.vault import KeyFile

        return KeyFile(path=self.key_file)

    def vault(self) -> "Vault":
        """The vault's file."""
        # What encrypts is imported where there is something encrypted.
        from gateway.vault.vault import Vault

        return Vault(self.path)

    def _looked(self, before: _Vaulted) -> _Vaulted:
        if not os.path.lexists(self.path):
            return _NONE
        try:
            glance = self.vault().look()
        except VaultUnreadable as error:
            return replace(before, trouble=error)
        if glance is None:
            return _NONE
        trouble = None if isinstance(before.trouble, VaultUnreadable) else before.trouble
        held = frozenset(glance.providers)
        return replace(before, lock=glance.source, held=held, trouble=trouble, warnings=glance.warnings)

    def _opened(self, looked: _Vaulted) -> _Vaulted:
        if looked is _NONE or isinstance(looked.trouble, VaultUnreadable):
            return looked
        try:
            vault = self.vault()
            glance = vault.look()
            if glance is None:
                return _NONE
            if glance.etag == looked.etag:
                return replace(looked, trouble=None)
            opened = vault.open(self.opener())
        except (VaultLocked, VaultUnreadable) as error:
            return replace(looked, trouble=error)
        return _Vaulted(
            lock=glance.source,
            held=frozenset(opened.keys),
            keys=opened.keys,
            etag=glance.etag,
            marks=glance.marks,
            warnings=opened.warnings,
        )

    def _secrets(self) -> list[Secret]:
        variables = self._environment.variables
        named = [name for name in variables if name.endswith(_SUFFIX) and len(variables[name]) >= _SHORTEST_MASKED]
        own = [_variable(self._environment, name) for name in (*_OWN_SECRETS, *named)]
        asked = [] if self._passphrase is None else [self._passphrase]
        return [*filter(None, own), *asked, *self._vaulted.keys.values()]


def _variable(environment: Environment, name: str) -> Secret | None:
    text = environment.text(name)
    return None if text is None else Secret(text)


def _text(secret: Secret | None) -> str:
    return "" if secret is None else secret.reveal()
