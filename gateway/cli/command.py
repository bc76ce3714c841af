"""What all commands share: the options every one of them takes, and how they reach the function behind it."""

import inspect
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar, cast

import typer
from typer.core import TyperCommand, TyperGroup

from gateway.cli.console import Console, output_lost
from gateway.errors import RolegateError

if TYPE_CHECKING:
    from gateway.compose import Options, Survey, Workspace
    from gateway.domain.secret import Secret

T = TypeVar("T")

USAGE: Final = 2
"""The exit code of a command line that cannot be understood."""

HELP: Final = {"help_option_names": ["-h", "--help"]}

_META: Final = "gateway.cli"


class _Command(TyperCommand):
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        with _help_that_may_be_lost():
            return super().parse_args(ctx, args)


class _Group(TyperGroup):
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        with _help_that_may_be_lost():
            return super().parse_args(ctx, args)


@contextmanager
def _help_that_may_be_lost() -> Iterator[None]:
    """Parsing writes nothing but the help, and that past ``Console``."""
    try:
        yield
    except OSError as exc:
        raise output_lost(exc) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of one command: where it writes, and what the shared options said. ``url`` is where the running gateway is to be
    found, for commands that ask it."""

    console: Console
    config_dir: Path | None
    url: str | None = None

    def options(
        self,
        *,
        profile: str | None = None,
        memory_gb: float | None = None,
        vram_gb: float | None = None,
        settings: Mapping[str, object] | None = None,
        passphrase: "Secret | None" = None,
    ) -> "Options":
        from gateway.compose import Options

        return Options(
            config_dir=self.config_dir,
            profile=profile,
            memory_gb=memory_gb,
            vram_gb=vram_gb,
            settings={name: value for name, value in (settings or {}).items() if value is not None},
            url=self.url,
            passphrase=passphrase,
        )

    def workspace(
        self,
        *,
        profile: str | None = None,
        memory_gb: float | None = None,
        vram_gb: float | None = None,
        passphrase: "Secret | None" = None,
    ) -> "Workspace":
        from gateway.compose import Workspace

        return Workspace.open(
            self.options(profile=profile, memory_gb=memory_gb, vram_gb=vram_gb, passphrase=passphrase)
        )

    def survey(self, workspace: "Workspace") -> "Survey":
        """One look at the world; what is doubtful is told on the way."""
        survey = self.run(workspace.survey())
        self.console.warn([*map(str, survey.configuration.warnings), *survey.warnings])
        self.console.talk(*(one.error for one in survey.discovery.providers if not one.up))
        return survey

    @staticmethod
    def run(work: Coroutine[Any, Any, T]) -> T:
        """Drive what the command awaits to its end."""
        import asyncio

        return asyncio.run(work)


_SHARED: Final = tuple(
    inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
    for name, default, annotation in (
        (
            "config_dir",
            None,
            Annotated[
                Path | None,
                typer.Option("--config-dir", metavar="FOLDER", help="The configuration folder.", show_default=False),
            ],
        ),
        ("as_json", False, Annotated[bool, typer.Option("--json", help="Data as JSON.")]),
        ("quiet", False, Annotated[bool, typer.Option("--quiet", help="Only data and errors.")]),
        ("debug", False, Annotated[bool, typer.Option("--debug", hidden=True)]),
    )
)

_URL: Final = inspect.Parameter(
    "url",
    inspect.Parameter.KEYWORD_ONLY,
    default=None,
    annotation=Annotated[
        str | None,
        typer.Option("--url", metavar="URL", help="Where the gateway listens, if it is not found.", show_default=False),
    ],
)

_CONTEXT: Final = inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)


def add_command(
    app: typer.Typer,
    function: Callable[..., int | None],
    *,
    name: str,
    asks: bool = False,
    too_many: Callable[[], RolegateError] | None = None,
) -> None:
    """Make ``function`` the command ``name``. Its first parameter is the ``Call``; the rest are its own arguments and options.
    It returns the exit code, ``None`` for 0. One that ``asks`` the running gateway can be told where that listens. ``too_many``
    makes the error for more arguments than it takes, where the usual one, which repeats them, will not do."""

    def run(ctx: typer.Context, **given: Any) -> int:
        if too_many is not None and ctx.args:
            raise too_many()
        call = _call(ctx, given)
        return function(call, **given) or 0

    _, *own = inspect.signature(function).parameters.values()
    asked = (_URL,) if asks else ()
    _disguise(run, parameters=(_CONTEXT, *own, *asked, *_SHARED), doc=function.__doc__)
    settings = HELP if too_many is None else {**HELP, "allow_extra_args": True}
    app.command(name, cls=_Command, context_settings=settings)(run)


def add_group(app: typer.Typer, *, name: str, about: str) -> typer.Typer:
    """A group of commands under ``name``; it takes the shared options too, before the command."""
    group = new_group(about=about)
    app.add_typer(group, name=name)
    return group


def new_group(*, about: str) -> typer.Typer:
    group = typer.Typer(
        cls=_Group,
        invoke_without_command=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings=HELP,
    )

    def note(ctx: typer.Context, **given: Any) -> None:
        _note(ctx, given)
        if ctx.invoked_subcommand is None:
            Console(json=False, quiet=False).talk(*ctx.get_help().splitlines())
            raise typer.Exit(USAGE)

    _disguise(note, parameters=(_CONTEXT, *_SHARED), doc=about)
    group.callback()(note)
    return group


def _call(ctx: typer.Context, given: dict[str, Any]) -> Call:
    _note(ctx, given)
    noted, url = ctx.meta[_META], given.pop(_URL.name, None)
    return Call(
        console=Console(json=noted["as_json"], quiet=noted["quiet"]),
        config_dir=cast("Path | None", noted["config_dir"]),
        url=cast("str | None", url) or None,
    )


def _note(ctx: typer.Context, given: dict[str, Any]) -> None:
    """Take the shared options out of ``given``; those nearest to the command win."""
    noted = ctx.meta.setdefault(_META, {one.name: one.default for one in _SHARED})
    for one in _SHARED:
        noted[one.name] = given.pop(one.name) or noted[one.name]


def _disguise(function: Callable[..., object], *, parameters: tuple[inspect.Parameter, ...], doc: str | None) -> None:
    """Give ``function`` the signature that typer is to read. Keyword-only throughout: options have defaults in any order."""
    shown = cast(Any, function)
    shown.__signature__ = inspect.Signature([one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in parameters])
    shown.__annotations__ = {one.name: one.annotation for one in parameters}
    shown.__doc__ = doc
