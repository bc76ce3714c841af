"""`rolegate providers set-key`, `remove-key` and `rotate-vault`: the keys at rest."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from gateway.cli.asked import ask_secret, can_ask
from gateway.cli.command import Call, add_command
from gateway.cli.passphrases import new_passphrase, workspace_that_opens
from gateway.config.environ import key_variable
from gateway.domain.nearest import nearest_name
from gateway.domain.secret import Secret
from gateway.errors import BadRequest
from gateway.file_errors import ConfigInvalid

if TYPE_CHECKING:
    from gateway.compose import Workspace
    from gateway.vault.vault import Glance, Opener

_MOST_TYPED: Final = 1 << 20

Name = Annotated[str, typer.Argument(metavar="PROVIDER", show_default=False)]
Stdin = Annotated[bool, typer.Option("--stdin", help="Read it from standard input.")]


def add_to(group: typer.Typer) -> None:
    add_command(group, set_key, name="set-key", too_many=_never_an_argument)
    add_command(group, remove_key, name="remove-key")
    add_command(group, rotate, name="rotate-vault")


def set_key(
    call: Call,
    *,
    provider: Name,
    stdin: Stdin = False,
) -> None:
    """Keep a provider's key in the vault, over the one that is there.

    Asks for it, or reads it with --stdin; it is never an argument, where other users could see it. The first key makes the
    vault: locked with a passphrase if ROLEGATE_VAULT_PASSPHRASE is set or one is typed when asked, else with a key file in the
    state folder.
    """
    workspace = workspace_that_opens(call)
    _must_be_ours(workspace)
    keys = workspace.keys
    keys.look()
    text = _read_secret(call, f"key of {provider}: ", stdin=stdin)
    _must_be_a_key(text)
    new = not keys.lock
    unlock = keys.opener() if keys.lock or stdin else _first_lock(call, workspace)
    glance = keys.vault().set(provider, text, unlock=unlock)
    doubts = list(glance.warnings)
    if keys.origin(provider) == "environment":
        doubts.append(f"{key_variable(provider)} is set, and counts before the key in the vault")
    doubts += _unknown_provider(workspace, provider)
    said = f"the key of {provider} is in {keys.path}"
    said += f", a new vault, which opens with {_opens_with(workspace, glance)}" if new else ""
    _tell(call, workspace, glance, said=said, provider=provider, doubts=doubts)


def remove_key(call: Call, *, provider: Name) -> None:
    """Take a provider's key out of the vault."""
    workspace = workspace_that_opens(call)
    keys = workspace.keys
    keys.look()
    glance = keys.vault().remove(provider, unlock=keys.opener())
    doubts = [f"{key_variable(provider)} is set, and still counts"] if keys.origin(provider) == "environment" else []
    said = f"the key of {provider} is no longer in {keys.path}"
    _tell(call, workspace, glance, said=said, provider=provider, doubts=[*glance.warnings, *doubts])


def rotate(
    call: Call,
    *,
    to: Annotated[
        Literal["passphrase", "key-file"] | None,
        typer.Option("--to", help="What shall open it from then on.", show_default=False),
    ] = None,
    stdin: Annotated[bool, typer.Option("--stdin", help="Read the new passphrase from standard input.")] = False,
) -> None:
    """Encrypt the vault anew, under new keys.

    It is opened with what it was opened with before; --to passphrase asks for a new one, --to key-file goes over to a file in the
    state folder. Where the vault has a key file, ROLEGATE_VAULT_PASSPHRASE is the new passphrase.
    """
    if stdin and to != "passphrase":
        raise BadRequest("--stdin is for a new passphrase", hint="give --to passphrase as well")
    workspace = workspace_that_opens(call)
    keys = workspace.keys
    keys.look()
    unlock = keys.file_opener() if keys.lock == "key_file" and to is not None else keys.opener()
    glance = keys.vault().rotate(unlock=unlock, to=_target(call, workspace, to=to, stdin=stdin))
    how = _opens_with(workspace, glance)
    _tell(call, workspace, glance, said=f"{keys.path} is encrypted anew, and opens with {how}", doubts=glance.warnings)


def _opens_with(workspace: "Workspace", glance: "Glance") -> str:
    return "a passphrase" if glance.source == "passphrase" else f"the key file {workspace.keys.key_file}"


def _must_be_a_key(text: Secret) -> None:
    """What no header can carry is refused before it is kept. The message does not repeat it."""
    if not text.may_be_a_key:
        raise BadRequest(
            "that is no key: it has characters that no header can carry (a line break, say, or a letter that is not ASCII)",
            hint="nothing was written; see whether more was copied than the key",
        )


def _never_an_argument() -> BadRequest:
    """Says nothing of what was given."""
    return BadRequest(
        "a key is never an argument: other users can see it there, and the shell remembers it",
        hint="give it when asked, or on standard input with --stdin; one that was typed here is better replaced",
    )


def _target(call: Call, workspace: "Workspace", *, to: str | None, stdin: bool) -> "Opener | None":
    """What the vault is to be locked with; ``None`` for what it is locked with."""
    from gateway.vault.vault import Passphrase

    keys = workspace.keys
    if to is None:
        return None
    if to == "key-file":
        return keys.file_opener()
    if not stdin and keys.lock == "key_file" and isinstance(given := keys.opener(), Passphrase):
        return given
    if stdin:
        return Passphrase(secret=_typed())
    if not can_ask(call.console):
        elsewhere = "" if keys.lock == "passphrase" else ", or set ROLEGATE_VAULT_PASSPHRASE"
        raise BadRequest(
            "a new passphrase is needed, and there is no terminal to ask at",
            hint=f"give --stdin, and the passphrase on standard input{elsewhere}",
        )
    text = new_passphrase(f"new passphrase of {keys.path}: ")
    if text is None:
        raise BadRequest("the passphrase is empty", hint="nothing was written")
    return Passphrase(secret=text)


def _first_lock(call: Call, workspace: "Workspace") -> "Opener":
    """What a new vault is locked with: the passphrase of the environment or one that is typed, else the key file."""
    from gateway.vault.vault import Passphrase

    unlock = workspace.keys.opener()
    if isinstance(unlock, Passphrase) or not can_ask(call.console):
        return unlock
    text = new_passphrase(f"passphrase for the new vault (empty: a key file, {workspace.keys.key_file}): ")
    return unlock if text is None else Passphrase(secret=text)


def _read_secret(call: Call, question: str, *, stdin: bool) -> Secret:
    if stdin:
        return _typed()
    if not can_ask(call.console):
        raise BadRequest(
            "there is no terminal to ask for the key at", hint="give --stdin, and the key on standard input"
        )
    return ask_secret(question)


def _typed() -> Secret:
    """Standard input, up to its end."""
    return Secret(sys.stdin.read(_MOST_TYPED).strip())


def _must_be_ours(workspace: "Workspace") -> None:
    """Raises ``CannotWrite`` for the configuration that comes with the package."""
    from gateway.config.edition import require_own

    require_own(workspace.config_folder)


def _unknown_provider(workspace: "Workspace", provider: str) -> list[str]:
    """A sentence where nothing goes by that name; none where nobody can tell."""
    try:
        names = [one.name for one in workspace.configuration().providers]
    except ConfigInvalid:
        return []
    if provider in names:
        return []
    nearest = nearest_name(provider, names)
    more = f"; did you mean {nearest}?" if nearest else f"; there are: {', '.join(names) or 'none'}"
    return [f"no provider is configured under that name{more}"]


def _tell(
    call: Call, workspace: "Workspace", glance: "Glance", *, said: str, doubts: Sequence[str], provider: str = ""
) -> None:
    call.console.warn(doubts)
    if call.console.json:
        call.console.value(
            {
                "file": str(workspace.keys.path),
                **({"provider": provider} if provider else {}),
                "lock": glance.source,
                "providers": list(glance.providers),
                "revision": glance.revision,
            }
        )
    else:
        call.console.text(said)
