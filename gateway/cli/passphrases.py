"""The vault's passphrase: from the environment, or from the person at the terminal."""

from typing import TYPE_CHECKING

from gateway.cli.asked import ask_secret, can_ask
from gateway.cli.command import Call
from gateway.domain.secret import Secret
from gateway.errors import BadRequest

if TYPE_CHECKING:
    from gateway.compose import Workspace


def asked_passphrase(call: Call) -> Secret | None:
    """The passphrase of the vault that is there, if it needs one that is not in the environment and somebody can be asked. An
    empty answer is none."""
    if not can_ask(call.console):
        return None
    keys = call.workspace().keys
    keys.look()
    if not keys.wants_passphrase:
        return None
    return ask_secret(f"passphrase of {keys.path}: ") or None


def workspace_that_opens(call: Call) -> "Workspace":
    """A workspace that has what opens its vault, as far as anybody can say."""
    return call.workspace(passphrase=asked_passphrase(call))


def new_passphrase(question: str) -> Secret | None:
    """A passphrase for a vault that is to be locked with it, typed twice; ``None`` for an empty answer. Raises ``BadRequest``
    where the two are different."""
    first = ask_secret(question)
    if not first:
        return None
    if ask_secret("the same again: ").reveal() != first.reveal():
        raise BadRequest("the two are not the same", hint="nothing was written; try again")
    return first
