"""`rolegate serve`: the gateway itself."""

import json
from dataclasses import asdict
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from gateway.cli.command import Call, add_command
from gateway.cli.console import Console, OutputLost
from gateway.cli.pulling import PullDisplay
from gateway.cli.tables import Cell, Column, Table
from gateway.config.settings import SETTINGS

if TYPE_CHECKING:
    from gateway.compose import Announcement, Ready

_THEN: Final = " > "
_FETCHES: Final = "; the flag --embedded also fetches those of its models that are not on this machine yet"


def add_to(app: typer.Typer) -> None:
    add_command(app, serve, name="serve")


def _flag(name: str, *, metavar: str | None = None, also: str = "") -> Any:
    """The flag of one server setting, as it is declared; ``also`` is what the flag does beyond the setting."""
    setting = SETTINGS[name]
    usual = str(setting.default).lower() if setting.kind == "boolean" else setting.default or "none"
    return typer.Option(
        setting.flag,
        metavar=metavar,
        min=setting.minimum,
        max=setting.maximum,
        help=f"{setting.help}{also} [default: as configured, or {usual}]",
        show_default=False,
    )


def serve(
    call: Call,
    *,
    host: Annotated[str | None, _flag("host", metavar="ADDRESS")] = None,
    port: Annotated[int | None, _flag("port", metavar="N")] = None,
    profile: Annotated[
        str | None, typer.Option("--profile", metavar="P", help="Use this profile for once.", show_default=False)
    ] = None,
    hot_swap: Annotated[bool | None, _flag("hot_swap")] = None,
    embedded: Annotated[bool | None, _flag("embedded", also=_FETCHES)] = None,
    log_format: Annotated[Literal["text", "json"] | None, _flag("log_format")] = None,
    tls_cert: Annotated[str | None, _flag("tls_cert", metavar="FILE")] = None,
    tls_key: Annotated[str | None, _flag("tls_key", metavar="FILE")] = None,
) -> int:
    """Run the gateway until it is stopped."""
    from gateway.cli.passphrases import asked_passphrase
    from gateway.compose import Workspace
    from gateway.compose.serving import serve as run_gateway

    settings = {
        "host": host,
        "port": port,
        "hot_swap": hot_swap,
        "embedded": embedded,
        "log_format": log_format,
        "tls_cert": tls_cert,
        "tls_key": tls_key,
    }
    options = call.options(profile=profile, settings=settings, passphrase=asked_passphrase(call))
    if Workspace.open(options).configuration().gateway.log_format == "json":
        call.console.spoken = log_line
    with Announcer(call.console) as announcer:
        return run_gateway(options, announce=announcer)


def log_line(text: str) -> str:
    """What is told while the gateway comes up, as a line of its log in JSON: whoever reads that reads nothing else there."""
    import logging

    from gateway.telemetry.logs import LineFormatter, Redactor

    told = {"name": "gateway.serve", "levelname": "INFO", "levelno": logging.INFO, "msg": "%s", "args": (text,)}
    return LineFormatter(form="json", redactor=Redactor()).format(logging.makeLogRecord(told))


class Announcer:
    """Tells what the gateway says of itself while it comes up. A reader that goes away does not stop the gateway."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._pull: PullDisplay | None = None

    def __enter__(self) -> "Announcer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_pull()

    def __call__(self, event: "Announcement") -> None:
        try:
            self._tell(event)
        except (typer.Exit, OutputLost):
            self._console.quiet = True

    def _tell(self, event: "Announcement") -> None:
        from gateway.compose import Note, Pulling, Ready

        match event:
            case Pulling():
                if self._pull is None:
                    self._pull = PullDisplay(name=event.name, console=self._console)
                self._pull.show(event.phase, done_bytes=event.done_bytes, total_bytes=event.total_bytes)
            case Note():
                self._end_pull()
                self._console.talk(event.text)
            case Ready():
                self._end_pull()
                _print_ready(event, console=self._console)

    def _end_pull(self) -> None:
        if self._pull is not None:
            self._pull.close()
            self._pull = None


def _print_ready(ready: "Ready", *, console: Console) -> None:
    """The URL, the roles and a ``curl`` that works: one JSON object on a line of its own where JSON is asked for."""
    if console.json:
        console.text(json.dumps({"event": "ready", **asdict(ready)}, ensure_ascii=False))
        return
    console.line(
        Cell(text="ready", style="bold green"),
        f"at {ready.url}",
        Cell(text=f"generation {ready.generation}", style="dim"),
    )
    where = f"configuration {ready.config_folder}"
    console.line(where if ready.profile is None else f"profile {ready.profile}, {where}")
    if ready.answered:
        console.line(ready.answered)
    if console.is_terminal:
        console.text("")
    console.table(_role_table(ready))
    for role in ready.degraded:
        console.talk(f"no model can serve {role} (`rolegate explain {role}` says why)")
    if ready.curl:
        console.text(*("",) * console.is_terminal, "try it:", f"  {ready.curl}")


def _role_table(ready: "Ready") -> Table:
    return Table(
        columns=(Column(title="ROLE"), Column(title="ANSWERED BY, IN ORDER", wraps=True)),
        rows=tuple(
            (
                Cell(text=name, style="bold"),
                _THEN.join(models) if models else Cell(text="no model", style="red"),
            )
            for name, models in ready.roles.items()
        ),
        empty="no role is configured",
    )
