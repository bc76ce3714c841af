"""The vault: provider keys in one encrypted file, opened with a passphrase or with a key file, whichever it was locked with."""

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from gateway.domain.secret import Secret
from gateway.errors import BadRequest, UnknownName
from gateway.file_errors import VaultLocked, VaultUnreadable
from gateway.vault.envelope import (
    PROVIDER_NAME,
    Box,
    Envelope,
    KeyFileLock,
    Lock,
    NoVault,
    PassphraseLock,
    WrappedKey,
    bound_data_key,
    bound_entry,
    parse,
)
from gateway.vault.key_file import add_key, find_key
from gateway.vault.passphrase import STRETCHING, PassphraseRefused, Stretching, new_salt, require_strength, stretched
from gateway.vault.private_file import Content, Unreadable, editing, read, replace, require
from gateway.vault.sealing_key import NotUnderThisKey, SealingKey

MOST_KEY_BYTES: Final = 64 * 1024
"""Of one provider's key. Service-account documents have some 2,400."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Passphrase:
    """Something that a person or an environment variable knows."""

    secret: Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFile:
    """A file with mode 0600 outside of the vault's folder."""

    path: Path


Opener = Passphrase | KeyFile
"""What opens a vault. The vault says which of the two it needs; the other is never tried in its place."""


def opener(*, passphrase: Secret | None, key_file: Path) -> Opener:
    """The source to lock a new vault with, and to try on one that is there: the passphrase if one was given (an empty one too,
    which then opens nothing), else the key file."""
    return KeyFile(path=key_file) if passphrase is None else Passphrase(secret=passphrase)


@dataclass(frozen=True, slots=True, kw_only=True)
class Glance:
    """What a vault shows without being opened, and therefore without proof.

    ``etag`` is what an edit may expect to find. ``marks`` are of each key, and others whenever it is put in, be it the same one.
    ``warnings`` are sentences for the operator.
    """

    source: Literal["passphrase", "key_file"]
    providers: tuple[str, ...]
    revision: int
    etag: str
    marks: Mapping[str, str]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedVault:
    """What was in the vault when it was opened: provider → key. ``revision`` is 0 where there was no vault."""

    keys: Mapping[str, Secret]
    revision: int = 0
    warnings: tuple[str, ...] = ()

    def key(self, provider: str) -> Secret | None:
        """The key of one provider, if there is one."""
        return self.keys.get(provider)


class Vault:
    """One vault file. Every call reads it anew; nothing secret is kept between calls.

    Blocks: for the disk, and for a tenth of a second where a passphrase is checked. Edits happen under a lock between
    processes, and replace the file in one step or not at all. All methods that take an ``unlock`` raise ``VaultLocked`` when it
    does not open the vault and ``VaultUnreadable`` when the file is not as it was written; edits raise ``CannotWrite``, and
    ``EditConflict`` if ``expected`` (an etag, or ``ABSENT``) is not what they find.
    """

    def __init__(self, path: Path, *, stretching: Stretching = STRETCHING) -> None:
        self.path = path
        self._stretching = stretching

    def look(self) -> Glance | None:
        """What shows from outside; ``None`` where there is no vault."""
        found = self._read()
        return None if found is None else self._glance(*found)

    def open(self, unlock: Opener) -> OpenedVault:
        """All keys. A vault that is not there has none, and needs nothing to be opened."""
        found = self._read()
        if found is None:
            return OpenedVault(keys={})
        content, envelope = found
        data_key = self._opened(envelope, unlock)
        keys = {name: self._revealed(envelope, data_key, name) for name in sorted(envelope.entries)}
        return OpenedVault(keys=keys, revision=envelope.revision, warnings=self._warnings(content))

    def set(self, provider: str, key: Secret, *, unlock: Opener, expected: str | None = None) -> Glance:
        """Put a provider's key in, over the one that may be there. A vault that is not there is made, locked with ``unlock``.
        Raises ``BadRequest`` for names and keys that cannot be."""
        _require_name(provider)
        plain = _plain(key)
        with self._edited(expected) as envelope:
            if envelope is None:
                before, data_key = self._locked(secrets.token_hex(16), unlock)
            else:
                before, data_key = envelope, self._opened(envelope, unlock)
            box = _boxed(plain, data_key=data_key, vault_id=before.vault_id, provider=provider)
            return self._write(before, data_key, entries={**before.entries, provider: box})

    def remove(self, provider: str, *, unlock: Opener, expected: str | None = None) -> Glance:
        """Take a provider's key out. Raises ``UnknownName`` when it is not there."""
        with self._edited(expected) as envelope:
            known = () if envelope is None else tuple(sorted(envelope.entries))
            if envelope is None or provider not in known:
                raise UnknownName(kind="key in the vault for", name=_shown(provider), known=known)
            data_key = self._opened(envelope, unlock)
            entries = {name: box for name, box in envelope.entries.items() if name != provider}
            return self._write(envelope, data_key, entries=entries)

    def rotate(self, *, unlock: Opener, to: Opener | None = None, expected: str | None = None) -> Glance:
        """Encrypt everything anew under a new data key, locked with ``to``: another passphrase, or the other kind of source.

        Without ``to`` it is ``unlock`` again, a passphrase with a new salt or a new key in the key file. Copies of the vault from
        before stay readable to whoever could read them.
        """
        with self._edited(expected) as envelope:
            if envelope is None:
                raise BadRequest(
                    f"there is no vault at {self.path} yet",
                    hint="`rolegate providers set-key` makes one with its first key",
                )
            old_key = self._opened(envelope, unlock)
            fresh, data_key = self._locked(envelope.vault_id, to or unlock)
            entries = {
                name: _boxed(
                    _plain(self._revealed(envelope, old_key, name)),
                    data_key=data_key,
                    vault_id=envelope.vault_id,
                    provider=name,
                )
                for name in envelope.entries
            }
            return self._write(fresh.model_copy(update={"revision": envelope.revision}), data_key, entries=entries)

    def _read(self) -> tuple[Content, Envelope] | None:
        try:
            content = read(self.path)
            return None if content is None else (content, parse(content.data))
        except (Unreadable, NoVault) as exc:
            raise VaultUnreadable(file=str(self.path), reason=exc.reason, hint=exc.hint) from exc

    @contextmanager
    def _edited(self, expected: str | None) -> Iterator[Envelope | None]:
        with editing(self.path):
            found = self._read()
            require(self.path, None if found is None else found[0], expected=expected)
            yield None if found is None else found[1]

    def _glance(self, content: Content, envelope: Envelope) -> Glance:
        return Glance(
            source=envelope.lock.source,
            providers=tuple(sorted(envelope.entries)),
            revision=envelope.revision,
            etag=content.etag,
            marks={name: box.nonce.hex() for name, box in envelope.entries.items()},
            warnings=self._warnings(content),
        )

    def _warnings(self, content: Content) -> tuple[str, ...]:
        if not content.others_may_read and not content.others_may_write:
            return ()
        what = "changed" if content.others_may_write else "read"
        told = f"{self.path} may be {what} by other users (mode {content.mode:04o})"
        return (f"{told}; the keys in it are encrypted, but keep it to yourself: chmod 600 {self.path}",)

    def _opened(self, envelope: Envelope, unlock: Opener) -> SealingKey:
        """The data key, once all of the file has proved to be as it was written."""
        match envelope.lock, unlock:
            case PassphraseLock() as lock, Passphrase():
                wrapping = self._from_passphrase(lock, unlock)
            case KeyFileLock() as lock, KeyFile():
                wrapping = self._from_key_file(lock, unlock)
            case PassphraseLock(), KeyFile():
                raise self._stays_locked(
                    "it needs its passphrase, and none was given",
                    hint="set ROLEGATE_VAULT_PASSPHRASE, or run the command in a terminal, where it asks",
                )
            case _:
                raise self._stays_locked(
                    "it needs its key file, and a passphrase was given",
                    hint="unset ROLEGATE_VAULT_PASSPHRASE; `rolegate providers rotate-vault` can lock it with a passphrase",
                )
        bound_to = bound_data_key(vault_id=envelope.vault_id, lock=envelope.lock)
        try:
            data_key = wrapping.unwrap(envelope.data_key.content(), bound_to=bound_to)
        except NotUnderThisKey as exc:
            if isinstance(envelope.lock, KeyFileLock):
                raise self._not_as_written() from exc
            raise self._stays_locked(
                "the passphrase is wrong (or the file was changed by something other than rolegate)",
                hint="nothing was changed; try again with the right one",
            ) from exc
        if not secrets.compare_digest(data_key.authenticate(envelope.sealed_content()), envelope.seal):
            raise self._not_as_written()
        return data_key

    def _from_passphrase(self, lock: PassphraseLock, unlock: Passphrase) -> SealingKey:
        bounds = self._stretching
        if not lock.cost.within(bounds.floor, bounds.ceiling):
            raise VaultUnreadable(
                file=str(self.path),
                reason=f"checking a passphrase is to take {lock.cost}; from {bounds.floor} to {bounds.ceiling} are allowed",
                hint="rolegate did not write that: put a copy back that opens",
            )
        try:
            return stretched(unlock.secret, salt=lock.salt, cost=lock.cost)
        except PassphraseRefused as exc:
            raise self._stays_locked(exc.reason, hint=exc.hint) from exc

    def _from_key_file(self, lock: KeyFileLock, unlock: KeyFile) -> SealingKey:
        self._require_outside(unlock)
        try:
            key = find_key(unlock.path, lock.key)
        except Unreadable as exc:
            raise self._stays_locked(f"{unlock.path}: {exc.reason}", hint=exc.hint) from exc
        if key is None:
            raise self._stays_locked(
                f"it needs the key {lock.key}, which is not in {unlock.path}",
                hint="put that file back from a copy; if there is none, move the vault away and set the keys again",
            )
        return key

    def _locked(self, vault_id: str, to: Opener) -> tuple[Envelope, SealingKey]:
        """An empty envelope of revision 0 with a new data key, locked with ``to``."""
        lock: Lock
        try:
            if isinstance(to, Passphrase):
                require_strength(to.secret)
                cost = self._stretching.cost
                lock = PassphraseLock.model_construct(
                    salt=new_salt(), memory_kib=cost.memory_kib, iterations=cost.iterations, lanes=cost.lanes
                )
                wrapping = stretched(to.secret, salt=lock.salt, cost=cost)
            else:
                self._require_outside(to)
                wrapping = add_key(to.path)
                lock = KeyFileLock.model_construct(key=wrapping.fingerprint)
        except PassphraseRefused as exc:
            raise BadRequest(f"the vault cannot be locked: {exc.reason}", hint=exc.hint) from exc
        except Unreadable as exc:
            raise self._stays_locked(f"{_place(to)}: {exc.reason}", hint=exc.hint) from exc
        data_key = SealingKey.random()
        wrapped = wrapping.wrap(data_key, bound_to=bound_data_key(vault_id=vault_id, lock=lock))
        envelope = Envelope.model_construct(
            vault_id=vault_id,
            revision=0,
            lock=lock,
            data_key=WrappedKey.model_construct(nonce=wrapped.nonce, sealed=wrapped.text),
            entries={},
        )
        return envelope, data_key

    def _revealed(self, envelope: Envelope, data_key: SealingKey, provider: str) -> Secret:
        bound_to = bound_entry(vault_id=envelope.vault_id, provider=provider)
        try:
            return Secret(data_key.unseal(envelope.entries[provider].content(), bound_to=bound_to).decode("utf-8"))
        except NotUnderThisKey as exc:
            raise self._not_as_written() from exc

    def _write(self, envelope: Envelope, data_key: SealingKey, *, entries: Mapping[str, Box]) -> Glance:
        edited = envelope.model_copy(update={"entries": entries, "revision": envelope.revision + 1})
        edited = edited.model_copy(update={"seal": data_key.authenticate(edited.sealed_content())})
        content = Content(data=edited.render())
        replace(self.path, content)
        return self._glance(content, edited)

    def _require_outside(self, source: KeyFile) -> None:
        folder = self.path.parent.resolve()
        if source.path.resolve().is_relative_to(folder):
            raise self._stays_locked(
                f"its key file {source.path} lies in the folder of the vault, where a copy of one takes the other along",
                hint="keep the key file elsewhere: ROLEGATE_STATE_DIR names the folder",
            )

    def _stays_locked(self, reason: str, *, hint: str) -> VaultLocked:
        return VaultLocked(file=str(self.path), reason=reason, hint=hint)

    def _not_as_written(self) -> VaultUnreadable:
        return VaultUnreadable(
            file=str(self.path),
            reason="it was changed by something other than rolegate, or damaged",
            hint="put a copy back that opens; nothing in it is used as it is",
        )


def _boxed(plain: Secret, *, data_key: SealingKey, vault_id: str, provider: str) -> Box:
    bound_to = bound_entry(vault_id=vault_id, provider=provider)
    return Box.of(data_key.seal(plain.reveal().encode("utf-8"), bound_to=bound_to))


def _plain(key: Secret) -> Secret:
    """The key, if it can be kept. Raises ``BadRequest``, which says nothing of it."""
    if not key:
        raise BadRequest("the key is empty", hint="`rolegate providers remove-key` takes a key out of the vault")
    try:
        size_bytes = len(key.reveal().encode("utf-8"))
    except UnicodeEncodeError:
        size_bytes = None
    # Outside of the handler: the exception there holds the whole key.
    if size_bytes is None:
        raise BadRequest("the key has characters that no text can have", hint="see whether it was pasted whole")
    if size_bytes > MOST_KEY_BYTES:
        raise BadRequest(f"the key has {size_bytes:,} bytes; at most {MOST_KEY_BYTES:,} are kept")
    return key


def _require_name(provider: str) -> None:
    """The message does not repeat the name: somebody may have typed the key in its place."""
    if PROVIDER_NAME.fullmatch(provider) is None:
        raise BadRequest(
            "that is no name of a provider: it begins with a small letter, and has small letters, digits, _ and - only",
            param="provider",
            hint="give the provider's name as the configuration has it, and the key when asked for it",
        )


def _shown(provider: str) -> str:
    """The name as an error may repeat it: what is long or odd may be a key that was typed in its place."""
    return provider if len(provider) <= 32 and PROVIDER_NAME.fullmatch(provider) else "…"


def _place(source: Opener) -> str:
    return str(source.path) if isinstance(source, KeyFile) else "the passphrase"
