"""The client keys of one installation: those in its state folder, and the first ones, which the environment provides."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from gateway.compose.workspace import Workspace
from gateway.config.environ import Environment
from gateway.domain.secret import Secret
from gateway.errors import Problem
from gateway.file_errors import ConfigInvalid
from gateway.files.regular_file import Unreadable, read_regular_file
from gateway.vault.client_key import Scope
from gateway.vault.client_keys import FROM_ENVIRONMENT, ClientKeys

KEYS_FILE: Final = "client_keys.json"
LEAST_CHARACTERS: Final = 20
"""Of a key that somebody thought up: its hash is quick to compute, so what can be guessed would be."""
_MOST_BYTES: Final = 4096
_ALLOWED: Final = f"at least {LEAST_CHARACTERS} letters, digits and signs, without spaces"


def client_keys_of(workspace: Workspace) -> ClientKeys:
    """The keys that open this installation's doors. Raises ``ConfigInvalid`` for variables that hold none, ``BadRequest`` for
    two that are the same."""
    given = provided_keys(workspace.environment)
    return ClientKeys(
        workspace.state_folder / KEYS_FILE,
        client_key=given.get(Scope.CLIENT),
        admin_key=given.get(Scope.ADMIN),
    )


def provided_keys(environment: Environment) -> dict[Scope, Secret]:
    """The keys in ``ROLEGATE_CLIENT_KEY`` and ``ROLEGATE_ADMIN_KEY``, or in the files that the same with ``_FILE`` name. Raises
    ``ConfigInvalid`` with everything that is wrong with them; their texts are not told."""
    keys: dict[Scope, Secret] = {}
    problems: list[Problem] = []
    for scope, variable in FROM_ENVIRONMENT.items():
        try:
            key = _provided(variable, environment)
        except _NoKey as exc:
            problems.append(exc.problem)
        else:
            if key is not None:
                keys[scope] = key
    if problems:
        raise ConfigInvalid(problems)
    return keys


def admin_key(environment: Environment) -> Secret | None:
    """What commands show a running gateway that asks for a key. Raises ``ConfigInvalid``."""
    return provided_keys(environment).get(Scope.ADMIN)


class _NoKey(Exception):
    """A variable that should provide a key does not."""

    def __init__(self, variable: str, *, found: str, allowed: str, hint: str = "") -> None:
        super().__init__(variable)
        self.problem = Problem(file="environment", key_path=variable, found=found, allowed=allowed, hint=hint)


def _provided(variable: str, environment: Environment) -> Secret | None:
    text, name = environment.text(variable), f"{variable}_FILE"
    file = environment.text(name)
    if file is None:
        return None if text is None else _checked(text, variable)
    if text is not None:
        raise _NoKey(name, found=f"a file, and {variable} as well", allowed="one of the two")
    try:
        content = read_regular_file(Path(file), at_most_bytes=_MOST_BYTES)
    except Unreadable as exc:
        raise _NoKey(name, found=f"{file}: {exc.found}", allowed=exc.allowed, hint=exc.hint) from exc
    return _checked(content.decode("utf-8", "replace").strip(), name)


def _checked(text: str, variable: str) -> Secret:
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise _NoKey(variable, found="characters that no header can carry", allowed=_ALLOWED)
    if len(text) < LEAST_CHARACTERS:
        raise _NoKey(
            variable, found=f"{len(text)} characters", allowed=_ALLOWED, hint="`openssl rand -hex 32` makes a good one"
        )
    return Secret(text)


def provided_secrets(environment: Environment) -> Sequence[Secret]:
    """The texts of those keys, for the filter that keeps them out of the log."""
    return tuple(provided_keys(environment).values())
