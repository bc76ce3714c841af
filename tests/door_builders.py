"""What tests of the doors need: keys of every kind in a file, and the gateway behind them."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from admin_builders import Gateway, an_admin_gateway, write_layers
from gateway.api.guard import Guard
from gateway.vault.client_key import Scope
from gateway.vault.client_keys import ClientKeys

HOUR_S: Final = 3600.0


def bearer(text: str) -> dict[str, str]:
    return {"authorization": f"Bearer {text}"} if text else {}


@dataclass(kw_only=True)
class Dial:
    """A clock that a test turns. Implements ``Clock``."""

    now_s: float = 1_000.0

    def time(self) -> float:
        return self.now_s

    def monotonic(self) -> float:
        return self.now_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Keyring:
    """Keys of every kind, and the texts to present."""

    keys: ClientKeys
    texts: dict[str, str]


def a_keyring(folder: Path) -> Keyring:
    """One key for each visitor: ``wrong`` is none, ``client_of_another_role`` may only use ``writer``."""
    now_s = time.time()
    keys = ClientKeys(folder / "client_keys.json")
    texts = {"no_key": "", "wrong": "rg-0123456789ab-" + "a" * 52, "junk": "x"}

    def made(name: str, **more: Any) -> str:
        return keys.create(name, **{"now_s": now_s, **more}).text.reveal()

    texts["expired"] = made("expired", now_s=now_s - HOUR_S, expires_s=now_s - 1)
    texts["expired_admin"] = made("expired_admin", now_s=now_s - HOUR_S, expires_s=now_s - 1, scope=Scope.ADMIN)
    texts["revoked"] = made("revoked")
    keys.revoke("revoked", now_s=now_s)
    texts["client"] = made("client")
    texts["client_of_another_role"] = made("writers", roles={"writer"})
    texts["admin"] = made("admin", scope=Scope.ADMIN)
    return Keyring(keys=keys, texts=texts)


@asynccontextmanager
async def a_guarded_gateway(
    folder: Path, *, url: str, keys: ClientKeys | None, loopback_only: bool = False, **more: Any
) -> AsyncIterator[Gateway]:
    """The whole application with these keys, as one that listens for others unless it is ``loopback_only``."""
    place = write_layers(folder, url=url)
    async with an_admin_gateway(place, loopback_only=loopback_only, guard=Guard(keys), **more) as live:
        yield live
