"""Whether the doors are fit for the address that the gateway listens on, decided before it listens."""

from collections.abc import Collection
from typing import Final

from gateway.api.origin import is_loopback_host
from gateway.config.settings import Configuration
from gateway.errors import Problem
from gateway.file_errors import ConfigInvalid
from gateway.vault.client_key import Scope

CREATE: Final = {
    Scope.CLIENT: "`rolegate keys create NAME`",
    Scope.ADMIN: "`rolegate keys create NAME --admin`",
}


def check_doors(configuration: Configuration, *, openable: Collection[Scope]) -> None:
    """Raises ``ConfigInvalid`` for an address that others reach while nobody has a key: the gateway would be open to all of them,
    or to nobody. ``openable`` are the scopes of the keys in force."""
    host = configuration.gateway.host
    if openable or is_loopback_host(host):
        return
    source = configuration.provenance.at(("gateway", "host"))
    raise ConfigInvalid(
        [
            Problem(
                file=source.file if source is not None else "gateway",
                key_path="gateway.host",
                found=f'"{host}", and no client key',
                allowed="an address of this machine alone (127.0.0.1, ::1 or localhost) while nobody has a key",
                hint=f"make one with {CREATE[Scope.CLIENT]}, or set ROLEGATE_CLIENT_KEY",
            )
        ]
    )


def told_of_doors(host: str, *, openable: Collection[Scope], encrypted: bool) -> tuple[str, ...]:
    """What whoever starts the gateway is told of an address that others reach. ``encrypted``: TLS is spoken there."""
    if is_loopback_host(host):
        return ()
    shut = {
        Scope.CLIENT: f"no client key is in force, so nobody can use the models: {CREATE[Scope.CLIENT]}",
        Scope.ADMIN: f"no admin key is in force, so /admin is shut, also to commands: {CREATE[Scope.ADMIN]}",
    }
    readable = (
        "the way to it is not encrypted, and whoever reads it reads keys: --tls-cert FILE, or a proxy that speaks TLS"
    )
    return (
        f"listening on {host}: whoever reaches this address needs a key",
        *(() if encrypted else (readable,)),
        *(text for scope, text in shut.items() if scope not in openable),
    )
