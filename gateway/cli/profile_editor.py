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
from gateway.errors import BadRequest, RolegateError
from gateway.file_errors import ConfigInvalid, EditConflict

if TYPE_CHECKING:
    from gateway.cli.kept_text import KeptText
    from gateway.compose import Workspace
    from gateway.config.profile_edits import Edited, Edition


def add_to(group: typer.Typer) -> None:
    add_command(group, edit, name="edit", asks=True)


def edit(
    call: Call,
    *,
    profile: Name,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Begin with the profile as it is, not with a text that was refused.")
    ] = False,
) -> None:
    """Change a profile in your editor ($VISUAL or $EDITOR).

    It is checked before it is saved. A text with problems is not saved, and not lost: it is kept in a file that is named, and
    the next edit begins with it. Exits with 3 when there are problems, or when somebody else changed the profile meanwhile.
    """
    from gateway.cli.kept_text import KeptText
    from gateway.config.profile_edits import read

    workspace = call.workspace()
    command = _editor(workspace)
    edition = read(profile, folder=workspace.config_folder)
    kept = KeptText(
        workspace.state_folder / "refused" / edition.path.name, origin=f"{edition.etag} {edition.path.absolute()}"
    )
    text = edition.text if fresh else _begin_with(call, kept, edition=edition)
    while True:
        text = _edited(call, text, command=command, kept=kept, name=edition.path.name)
        if text == edition.text:
            _unchanged(call, edition)
            return
        try:
            edited = _saved(text, edition=edition, workspace=workspace)
        except (ConfigInvalid, EditConflict) as error:
            kept.keep(text.encode())
            where = f"your text is kept in {kept.path}"
            if isinstance(error, EditConflict):
                error.hint = f"{where}; `rolegate profiles edit {profile}` begins with the profile as it is now"
                raise
            if kept.at_hand:
                where += f"; `rolegate profiles edit {profile}` goes on with it"
            if not can_ask(call.console):
                error.hint = where
                raise
            call.console.error(error.message)
            if not ask_yes("edit it again?", usually=True):
                call.console.talk(f"nothing was saved; {where}")
                raise typer.Exit(error.exit_code) from None
        except RolegateError:
            kept.keep(text.encode())
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


def _begin_with(call: Call, kept: "KeptText", *, edition: "Edition") -> str:
    """The text that was refused, if there is one that may still be saved without undoing what others did since."""
    text = kept.text()
    if text is None:
        return edition.text
    if not kept.may_go_on:
        call.console.talk(
            f"a text that was refused is kept in {kept.put_aside()}",
            "it was made from another version of the profile, so this begins with the profile as it is now",
        )
        return edition.text
    call.console.talk(f"a text that was refused is kept in {kept.path}")
    if can_ask(call.console) and not ask_yes("go on with it?", usually=True):
        return edition.text
    kept.go_on()
    return text


def _saved(text: str, *, edition: "Edition", workspace: "Workspace") -> "Edited":
    from gateway.compose.editing import check_of
    from gateway.config.profile_edits import put_text

    return put_text(
        edition.name, text, folder=workspace.config_folder, check=check_of(workspace), expected=edition.etag
    )


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


def _edited(call: Call, text: str, *, command: list[str], kept: "KeptText", name: str) -> str:
    """What the operator made of ``text``. Raises ``BadRequest`` when the editor did not end well; what it left is kept then."""
    before = text.encode()
    with TemporaryDirectory(prefix="rolegate-") as folder:
        path = Path(folder) / name
        path.write_bytes(before)
        try:
            _run([*command, str(path)])
            return _read(path)
        except (BadRequest, KeyboardInterrupt) as trouble:
            with suppress(OSError):
                left = path.read_bytes()
                if left not in (b"", before):
                    kept.keep(left)
                    told = f"nothing was saved; what the editor left is kept in {kept.path}"
                    if isinstance(trouble, BadRequest):
                        trouble.hint = told
                    else:
                        call.console.talk(told)
            raise


def _run(command: list[str]) -> None:
    editor = command[0]
    try:
        code = subprocess.run(command, check=False).returncode  # noqa: S603 - the operator's own editor
    except OSError as exc:
        raise BadRequest(
            f"the editor {editor} cannot be started: {exc.strerror or exc}", hint="mend VISUAL or EDITOR"
        ) from exc
    if code != 0:
        raise BadRequest(f"the editor {editor} ended with exit code {code}", hint="nothing was saved")


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as exc:
        raise BadRequest(f"the editor left no file: {exc.strerror or exc}", hint="nothing was saved") from exc
    except UnicodeDecodeError as exc:
        raise BadRequest(f"what the editor left is not UTF-8 text: {exc}", hint="save it as UTF-8") from exc
