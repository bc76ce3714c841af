"""`rolegate profiles edit`: a profile in the operator's own editor, and nothing they typed ever lost."""

import shlex
import subprocess
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.asked import ask_yes, can_ask
from gateway.cli.command import Call, add_command
from gateway.cli.profile_writing import Name, written
from gateway.errors import BadRequest, ConfigInvalid, EditConflict, RolegateError

if TYPE_CHECKING:
    from gateway.compose import Workspace
    from gateway.config.profile_edits import Edited, Edition


def add_to(group: typer.Typer) -> None:
    add_command(group, edit, name="edit")


def edit(
    call: Call,
    *,
    profile: Name,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Begin with the profile as it is, not with a text that was refused.")
    ] = False,
) -> None:
    """Change a profile in $VISUAL or $EDITOR; it is checked before it is saved.

    A text with problems is not saved, and not lost: it is kept in a file that is named, and the next edit begins with it. Exits
    with 3 when there are problems, or when somebody else changed the profile meanwhile.
    """
    from gateway.config.profile_edits import read

    workspace = call.workspace()
    command = _editor(workspace)
    edition = read(profile, folder=workspace.config_folder)
    kept = _Kept(workspace.state_folder / "refused" / edition.path.name)
    text = edition.text if fresh else _begin_with(call, kept, edition=edition)
    while True:
        text = _edited(text, command=command, name=edition.path.name)
        if text == edition.text:
            _unchanged(call, edition)
            return
        try:
            edited = _saved(text, edition=edition, workspace=workspace)
        except (ConfigInvalid, EditConflict) as error:
            kept.keep(text, etag=edition.etag)
            again = isinstance(error, ConfigInvalid) and can_ask(call.console)
            if not again:
                error.hint = f"your text is kept in {kept.path}; `rolegate profiles edit {profile}` goes on with it"
                raise
            call.console.error(error.message)
            if not ask_yes("edit it again?", usually=True):
                call.console.talk(
                    f"nothing was saved; your text is kept in {kept.path}, "
                    f"and `rolegate profiles edit {profile}` goes on with it"
                )
                raise typer.Exit(error.exit_code) from None
        except RolegateError:
            kept.keep(text, etag=edition.etag)
            call.console.talk(f"your text is kept in {kept.path}")
            raise
        else:
            kept.forget()
            written(call, edited, workspace=workspace)
            return


def _unchanged(call: Call, edition: "Edition") -> None:
    if call.console.json:
        call.console.value(
            {
                "profile": edition.name,
                "file": str(edition.path),
                "etag": edition.etag,
                "changed": False,
                "running": None,
            }
        )
    call.console.talk("nothing was changed")


def _begin_with(call: Call, kept: "_Kept", *, edition: "Edition") -> str:
    """The text that was refused, if there is one that may still be saved without undoing what others did since."""
    text = kept.text()
    if text is None:
        return edition.text
    call.console.talk(f"a text that was refused is kept in {kept.path}")
    if not kept.made_from(edition.etag):
        call.console.talk("the profile has changed since, so this begins with the profile as it is now")
        return edition.text
    return text if not can_ask(call.console) or ask_yes("go on with it?", usually=True) else edition.text


def _saved(text: str, *, edition: "Edition", workspace: "Workspace") -> "Edited":
    from gateway.compose.editing import check_of
    from gateway.config.profile_edits import put_text

    return put_text(
        edition.name, text, folder=workspace.config_folder, check=check_of(workspace), expected=edition.etag
    )


class _Kept:
    """A text that could not be saved, in the state folder, with the version of the profile that it was made from."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._origin = path.with_name(f"{path.name}.from")

    def text(self) -> str | None:
        with suppress(FileNotFoundError):
            return self.path.read_text(encoding="utf-8")
        return None

    def made_from(self, etag: str) -> bool:
        with suppress(FileNotFoundError):
            return self._origin.read_text(encoding="utf-8") == etag
        return False

    def keep(self, text: str, *, etag: str) -> None:
        from gateway.config.atomic import write_atomically

        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(self._origin, etag.encode())
        write_atomically(self.path, text.encode())

    def forget(self) -> None:
        self.path.unlink(missing_ok=True)
        self._origin.unlink(missing_ok=True)


def _editor(workspace: "Workspace") -> list[str]:
    """The operator's editor as a command. Raises ``BadRequest`` where they named none."""
    environment = workspace.environment
    named = environment.text("VISUAL") or environment.text("EDITOR")
    if named is None:
        raise BadRequest(
            "no editor is known: neither VISUAL nor EDITOR is set",
            hint="set one (EDITOR=vi), or change single values with `rolegate profiles set`",
        )
    try:
        return shlex.split(named)
    except ValueError as exc:
        raise BadRequest(f"the editor {named!r} is no command: {exc}", hint="mend VISUAL or EDITOR") from exc


def _edited(text: str, *, command: list[str], name: str) -> str:
    """What the operator made of ``text``. Raises ``BadRequest`` when the editor did not end well."""
    with TemporaryDirectory(prefix="rolegate-") as folder:
        path = Path(folder) / name
        path.write_text(text, encoding="utf-8")
        try:
            code = subprocess.run([*command, str(path)], check=False).returncode  # noqa: S603 - the operator's own editor
        except OSError as exc:
            raise BadRequest(
                f"the editor {command[0]} cannot be started: {exc.strerror or exc}", hint="mend VISUAL or EDITOR"
            ) from exc
        if code != 0:
            raise BadRequest(f"the editor {command[0]} ended with exit code {code}", hint="nothing was saved")
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as exc:
            raise BadRequest(f"what the editor left cannot be read: {exc}", hint="save it as UTF-8 text") from exc
