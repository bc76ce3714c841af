"""The client keys of this gateway: made, listed, taken back, and checked at the door."""

import os
import re
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from gateway.domain.secret import Secret
from gateway.errors import BadRequest, NameTaken, UnknownName
from gateway.file_errors import ClientKeysUnreadable
from gateway.vault import private_file
from gateway.vault.client_key import ClientKey, KeyHash, Refusal, Scope, Verdict, new_id, new_text, presented_id
from gateway.vault.key_list import Kept, NoKeyList, parse_keys, render_keys
from gateway.vault.private_file import Unreadable, editing, make_folder

FROM_ENVIRONMENT: Final = {Scope.CLIENT: "ROLEGATE_CLIENT_KEY", Scope.ADMIN: "ROLEGATE_ADMIN_KEY"}
"""The names, and ids, of the keys that a container gets from its variables."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_YOUNG_NS: Final = 2_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """A key that was just made. ``text`` is shown to whoever asked for it, now or never: only its hash is kept."""

    key: ClientKey
    text: Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class _Snapshot:
    """The file as it was read. ``stamp`` tells whether it still is that; ``None`` if a look at the file could not tell yet."""

    kept: dict[str, Kept]
    stamp: tuple[int, ...] | None


class ClientKeys:
    """All client keys: those in a file of the state folder, and up to two that the environment provides.

    Every check looks whether the file has changed (one ``stat``), so what another process makes or takes back counts from its
    next request on. All methods but for the construction raise ``ClientKeysUnreadable`` for a file that cannot be trusted.
    """

    def __init__(self, path: Path, *, client_key: Secret | None = None, admin_key: Secret | None = None) -> None:
        """Raises ``BadRequest`` if the two are the same, since every client would be an admin."""
        self.path = path
        provided = {Scope.ADMIN: admin_key, Scope.CLIENT: client_key}
        self._provided = tuple(
            Kept(
                key=ClientKey(id=FROM_ENVIRONMENT[scope], name=FROM_ENVIRONMENT[scope], scope=scope),
                hash=KeyHash.of(text),
            )
            for scope, text in provided.items()
            if text
        )
        if client_key and admin_key and self._provided[0].hash.fits(client_key.reveal()):
            raise BadRequest(
                "ROLEGATE_CLIENT_KEY and ROLEGATE_ADMIN_KEY are the same: every client would be an admin",
                hint="give one of them another value",
            )
        # What keys that are not known are compared with, so that they take as long as known ones.
        self._nobody = KeyHash.of(new_text(key_id=new_id(), scope=Scope.CLIENT))
        self._snapshot = _Snapshot(kept={}, stamp=None)

    def verify(self, presented: str, *, now_s: float) -> Verdict:
        """Who presents ``presented`` at ``now_s`` (seconds since the epoch), or why it does not count."""
        kept = self._now().get(presented_id(presented) or "")
        fits = (self._nobody if kept is None else kept.hash).fits(presented)
        provided = [one for one in self._provided if one.hash.fits(presented)]
        if provided:
            return Verdict(key=provided[0].key, refusal=None)
        if kept is None or not fits:
            return Verdict(key=None, refusal=Refusal.UNKNOWN)
        return Verdict(key=kept.key, refusal=kept.key.refusal(now_s))

    def list(self) -> Sequence[ClientKey]:
        """Every key, revoked and expired ones too, in the order in which they were made; first those of the environment."""
        return tuple(one.key for one in (*self._provided, *self._now().values()))

    def open_doors(self, *, now_s: float) -> frozenset[Scope]:
        """The scopes for which somebody could come in at ``now_s``."""
        return frozenset(key.scope for key in self.list() if key.refusal(now_s) is None)

    def create(
        self,
        name: str,
        *,
        now_s: float,
        scope: Scope = Scope.CLIENT,
        roles: Collection[str] | None = None,
        expires_s: float | None = None,
        requests_per_minute: int | None = None,
        concurrency: int | None = None,
    ) -> NewKey:
        """Make a key. Raises ``NameTaken`` if one of that name is in force, ``BadRequest``, and ``CannotWrite``."""
        _require_sense(name=name, now_s=now_s, expires_s=expires_s, roles=roles)
        for what, limit in (("requests per minute", requests_per_minute), ("concurrency", concurrency)):
            if limit is not None and limit < 1:
                raise BadRequest(f"a limit of {limit} {what} lets nothing through", hint="leave it out for no limit")
        make_folder(self.path.parent)
        with editing(self.path):
            kept = self._read().kept
            _require_free(name, kept.values(), place=self.path)
            key_id = next(one for one in iter(new_id, None) if one not in kept)
            text = new_text(key_id=key_id, scope=scope)
            key = ClientKey(
                id=key_id,
                name=name,
                scope=scope,
                created_s=now_s,
                roles=None if roles is None else frozenset(roles),
                expires_s=expires_s,
                requests_per_minute=requests_per_minute,
                concurrency=concurrency,
            )
            self._write({**kept, key_id: Kept(key=key, hash=KeyHash.of(text))})
        return NewKey(key=key, text=text)

    def revoke(self, name_or_id: str, *, now_s: float) -> ClientKey:
        """Take a key back, by its id or by the name it is in force under. It stays in the list. A key that was taken back before
        stays as it is. Raises ``UnknownName`` and ``CannotWrite``."""
        if name_or_id in FROM_ENVIRONMENT.values():
            raise BadRequest(
                f"{name_or_id} comes from the environment", hint="take it out there and restart the gateway"
            )
        make_folder(self.path.parent)
        with editing(self.path):
            kept = self._read().kept
            found = kept.get(name_or_id) or next(
                (one for one in reversed(kept.values()) if one.key.name == name_or_id and one.key.revoked_s is None),
                None,
            )
            if found is None:
                known = sorted(one.key.name for one in kept.values() if one.key.revoked_s is None)
                shown = name_or_id if _NAME.fullmatch(name_or_id) and presented_id(name_or_id) is None else "…"
                raise UnknownName(kind="client key", name=shown, known=known)
            if found.key.revoked_s is not None:
                return found.key
            revoked = replace(found.key, revoked_s=now_s)
            self._write({**kept, revoked.id: replace(found, key=revoked)})
        return revoked

    def _now(self) -> dict[str, Kept]:
        """The keys in the file as it is at this moment."""
        stamp = self._stamp()
        if stamp is None or stamp != self._snapshot.stamp:
            self._snapshot = _Snapshot(kept={}, stamp=None)
            self._snapshot = self._read()
        return self._snapshot.kept

    def _read(self) -> _Snapshot:
        # The stamp is taken first: a change between the two is then read once more, and not missed.
        stamp = self._stamp()
        try:
            content = private_file.read(self.path)
            if content is None:
                return _Snapshot(kept={}, stamp=stamp)
            if content.others_may_write:
                raise Unreadable(
                    f"other users may write to it (mode {content.mode:04o}), and so could make keys for themselves",
                    hint=f"look through `rolegate keys list`, then chmod 600 {self.path}",
                )
            kept = {one.key.id: one for one in parse_keys(content.data)}
        except (Unreadable, NoKeyList) as exc:
            raise ClientKeysUnreadable(file=str(self.path), reason=exc.reason, hint=exc.hint) from exc
        return _Snapshot(kept=kept, stamp=stamp)

    def _stamp(self) -> tuple[int, ...] | None:
        """What changes with the file; ``None`` while it is so young that its next change could bear the same times."""
        try:
            status = os.stat(self.path)  # noqa: PTH116 - on the way of every request, and twice as fast
        except FileNotFoundError:
            return ()
        except OSError:
            return None
        if abs(time.time_ns() - status.st_ctime_ns) < _YOUNG_NS:
            return None
        return (status.st_dev, status.st_ino, status.st_size, status.st_mode, status.st_mtime_ns, status.st_ctime_ns)

    def _write(self, kept: dict[str, Kept]) -> None:
        private_file.replace(self.path, private_file.Content(data=render_keys(kept.values())))


def _require_sense(*, name: str, now_s: float, expires_s: float | None, roles: Collection[str] | None) -> None:
    if _NAME.fullmatch(name) is None or name in FROM_ENVIRONMENT.values():
        raise BadRequest(
            "that is no name for a key: it has 1 to 64 letters, digits, _, . and -, begins with a letter or digit, and is not "
            "that of a variable",
            param="name",
        )
    if expires_s is not None and expires_s <= now_s:
        raise BadRequest("the key would have expired before it is made", param="expires")
    if roles is not None and not roles:
        raise BadRequest(
            "a key for no role at all opens nothing", param="roles", hint="leave the roles out for all of them"
        )


def _require_free(name: str, kept: Collection[Kept], *, place: Path) -> None:
    if any(one.key.name == name and one.key.revoked_s is None for one in kept):
        raise NameTaken(
            kind="client key",
            name=name,
            place=str(place),
            hint=f"choose another name, or `rolegate keys revoke {name}`",
        )
