"""`rolegate keys`: the keys of those who may use this gateway."""

import re
import time
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Final

import typer

from gateway.cli.command import Call, add_command, add_group
from gateway.cli.tables import Cell, Column, Table
from gateway.cli.times import clock
from gateway.errors import BadRequest
from gateway.file_errors import ConfigInvalid

if TYPE_CHECKING:
    from gateway.compose import Workspace
    from gateway.vault.client_key import ClientKey
    from gateway.vault.client_keys import ClientKeys

_UNITS_S: Final = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DURATION: Final = re.compile(r"([1-9][0-9]{0,8})([mhdw])")
_ROLE: Final = re.compile(r"[A-Za-z0-9_.-]+")
_WHEN: Final = "%Y-%m-%d %H:%M"


def add_to(app: typer.Typer) -> None:
    group = add_group(app, name="keys", about="The keys of those who may use this gateway.")
    add_command(group, create, name="create")
    add_command(group, list_keys, name="list")
    add_command(group, revoke, name="revoke")


def create(
    call: Call,
    *,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="What log and journal call its bearer.", show_default=False)
    ],
    admin: Annotated[
        bool, typer.Option("--admin", help="A key for /admin and /metrics, instead of one for /v1.")
    ] = False,
    roles: Annotated[
        str | None,
        typer.Option(
            "--roles", metavar="R,R…", help="Only these roles, and no models by reference.", show_default=False
        ),
    ] = None,
    expires: Annotated[
        str | None,
        typer.Option(
            "--expires", metavar="WHEN", help="After 12h, 30d or 8w, or when 2030-12-31 begins.", show_default="never"
        ),
    ] = None,
    per_minute: Annotated[
        int | None, typer.Option("--per-minute", metavar="N", min=1, help="At most so many requests per minute.")
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option("--concurrency", metavar="N", min=1, help="At most so many requests at once.")
    ] = None,
) -> None:
    """Make a key, and print it: now or never, for only its hash is kept.

    A running gateway takes it from its next request on.
    """
    from gateway.vault.client_key import Scope

    now_s = time.time()
    wanted = None if roles is None else _roles(roles)
    if admin and wanted is not None:
        raise BadRequest("an admin key asks for no roles", param="roles", hint="leave out --roles or --admin")
    workspace = call.workspace()
    made = _keys(workspace).create(
        name,
        now_s=now_s,
        scope=Scope.ADMIN if admin else Scope.CLIENT,
        roles=wanted,
        expires_s=None if expires is None else expiry_s(expires, now_s=now_s),
        requests_per_minute=per_minute,
        concurrency=concurrency,
    )
    if call.console.json:
        call.console.value({"key": key_data(made.key, now_s=now_s), "text": made.text.reveal()})
    else:
        call.console.text(made.text.reveal())
    call.console.talk(f"the key {made.key.name} opens {_opens(made.key)}; it is shown this once")
    if wanted:
        call.console.warn(_unknown_roles(wanted, workspace=workspace))


def list_keys(call: Call) -> None:
    """Every key, those that were revoked or have expired too. Their texts are not kept, and cannot be shown."""
    now_s = time.time()
    listed = _keys(call.workspace()).list()
    if call.console.json:
        call.console.value({"keys": [key_data(one, now_s=now_s) for one in listed]})
    else:
        call.console.table(_table(listed, now_s=now_s))


def revoke(
    call: Call,
    *,
    key: Annotated[str, typer.Argument(metavar="NAME", help="Its name, or its id.", show_default=False)],
) -> None:
    """Take a key back. A running gateway refuses it from its next request on."""
    now_s = time.time()
    revoked = _keys(call.workspace()).revoke(key, now_s=now_s)
    if call.console.json:
        call.console.value({"key": key_data(revoked, now_s=now_s)})
    else:
        call.console.text(f"{revoked.name} ({revoked.id}) is revoked")


def key_data(key: "ClientKey", *, now_s: float) -> dict[str, object]:
    """A key as plain data; times are seconds since the epoch."""
    return {
        "name": key.name,
        "id": key.id,
        "scope": key.scope.value,
        "state": _state(key, now_s=now_s),
        "roles": None if key.roles is None else sorted(key.roles),
        "per_minute": key.requests_per_minute,
        "concurrency": key.concurrency,
        "created": key.created_s,
        "expires": key.expires_s,
        "revoked": key.revoked_s,
    }


def expiry_s(text: str, *, now_s: float) -> float:
    """When ``12h``, ``30d``, ``8w`` from ``now_s``, or a date with or without a time on this machine's clock, is. Raises
    ``BadRequest``."""
    if duration := _DURATION.fullmatch(text):
        return now_s + int(duration[1]) * _UNITS_S[duration[2]]
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        raise BadRequest(
            f'--expires: found "{text}"; allowed: a time from now (90m, 12h, 30d, 8w) or a date (2030-12-31, '
            "2030-12-31T18:00)",
            param="expires",
        ) from None


def _keys(workspace: "Workspace") -> "ClientKeys":
    from gateway.compose.client_keys import client_keys_of

    return client_keys_of(workspace)


def _roles(text: str) -> frozenset[str]:
    names = [one.strip() for one in text.split(",")]
    for one in names:
        if not _ROLE.fullmatch(one):
            raise BadRequest(
                f'--roles: found "{one}"; allowed: names of roles, with commas between them',
                param="roles",
                hint="a key is bound to roles; it opens no model by its reference then",
            )
    return frozenset(names)


def _unknown_roles(roles: frozenset[str], *, workspace: "Workspace") -> list[str]:
    """A warning for each role that the configuration does not have: it may be one of another profile."""
    try:
        known = workspace.configuration().roles
    except ConfigInvalid:
        return []
    listed = ", ".join(known) or "none"
    return [f'there is no role "{one}" now; the roles are: {listed}' for one in sorted(roles - set(known))]


def _opens(key: "ClientKey") -> str:
    if key.scope == "admin":
        return "/admin and /metrics"
    return "/v1" if key.roles is None else f"/v1 for {', '.join(sorted(key.roles))}"


def _state(key: "ClientKey", *, now_s: float) -> str:
    refusal = key.refusal(now_s)
    return "in force" if refusal is None else refusal.value


def _table(listed: "Sequence[ClientKey]", *, now_s: float) -> Table:
    return Table(
        columns=(
            Column(title="NAME"),
            Column(title="ID", spare=2),
            Column(title="SCOPE"),
            Column(title="STATE"),
            Column(title="ROLES", wraps=True, least=12),
            Column(title="LIMITS", wraps=True, least=12, spare=1),
            Column(title="CREATED", spare=3),
            Column(title="EXPIRES"),
        ),
        rows=tuple(_row(one, now_s=now_s) for one in listed),
        empty="there is no key; `rolegate keys create NAME` makes one",
    )


def _row(key: "ClientKey", *, now_s: float) -> tuple[Cell | str, ...]:
    state = _state(key, now_s=now_s)
    return (
        Cell(text=key.name, style="bold"),
        key.id if key.id != key.name else "-",
        key.scope.value,
        Cell(text=state, style="green" if state == "in force" else "red"),
        _roles_shown(key),
        _limits(key),
        "-" if key.created_s is None else clock(key.created_s, form=_WHEN),
        "never" if key.expires_s is None else clock(key.expires_s, form=_WHEN),
    )


def _roles_shown(key: "ClientKey") -> str:
    if key.scope == "admin":
        return "-"
    return "all" if key.roles is None else ", ".join(sorted(key.roles))


def _limits(key: "ClientKey") -> str:
    limits = []
    if key.requests_per_minute is not None:
        limits.append(f"{key.requests_per_minute:,} per minute")
    if key.concurrency is not None:
        limits.append(f"{key.concurrency:,} at once")
    return ", ".join(limits) or "-"
