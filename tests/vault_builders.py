"""Vaults for tests: quick to open, in a folder of their own."""

import json
from collections.abc import Mapping
from pathlib import Path

from gateway.domain.secret import Secret
from gateway.vault.passphrase import Cost, Stretching
from gateway.vault.vault import KeyFile, Opener, Passphrase, Vault

FAST = Stretching(
    cost=Cost(memory_kib=32, iterations=1, lanes=1),
    floor=Cost(memory_kib=32, iterations=1, lanes=1),
    ceiling=Cost(memory_kib=64, iterations=2, lanes=2),
)
KEYS = {"anthropic": "sk-ant-canary-1", "openai": "sk-canary-2"}


def new_vault(folder: Path) -> Vault:
    """A vault that is not there yet."""
    (folder / "config").mkdir(parents=True, exist_ok=True)
    return Vault(folder / "config" / "api_keys.json", stretching=FAST)


def key_file(folder: Path) -> KeyFile:
    return KeyFile(path=folder / "state" / "vault.key")


def passphrase(text: str = "correct horse") -> Passphrase:
    return Passphrase(secret=Secret(text))


def filled(folder: Path, unlock: Opener, *, keys: Mapping[str, str] = KEYS) -> Vault:
    """A vault with ``keys`` in it, locked with ``unlock``."""
    vault = new_vault(folder)
    for name, text in keys.items():
        vault.set(name, Secret(text), unlock=unlock)
    return vault


def revealed(vault: Vault, unlock: Opener) -> dict[str, str]:
    """What is in a vault, in the clear."""
    return {name: key.reveal() for name, key in vault.open(unlock).keys.items()}


def data_of(vault: Vault) -> dict[str, object]:
    """The vault's file as plain data."""
    value = json.loads(vault.path.read_bytes())
    assert isinstance(value, dict)
    return value


def put(vault: Vault, value: object) -> None:
    """Write plain data in the place of the vault's file."""
    vault.path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")
