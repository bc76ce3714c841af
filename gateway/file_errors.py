"""What can be wrong with files: with what is in them, and with reading and writing them. A branch of the one tree of errors.

RolegateError
├── ConfigInvalid            the configuration cannot be used; carries every problem found
│   └── TemplateInvalid      a file under router_templates/ cannot be used
├── EditConflict             a file is no longer what an edit started from
├── CannotWrite              a file cannot be written where it is to be
├── VaultLocked              the vault cannot be opened with what was given
├── VaultUnreadable          the vault file is not one, or was changed by something else
├── ClientKeysUnreadable     the file of client keys cannot be trusted
└── JournalUnreadable        the request journal cannot be read
"""

from collections.abc import Sequence

from gateway.errors import Problem, RolegateError


class ConfigInvalid(RolegateError):
    """The configuration cannot be used. ``problems`` holds every problem of every active file, in file and line order."""

    code = "config_invalid"
    http_status = 422
    exit_code = 3
    openai_type = "invalid_request_error"

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        head = "1 problem in the configuration" if count == 1 else f"{count} problems in the configuration"
        super().__init__(
            "\n".join([f"{head}:", *(f"  {problem}" for problem in self.problems)]),
            hint="mend the lines named above and run `rolegate config validate`"
            if any(_is_in_a_file(one) for one in self.problems)
            else "mend what is named above, and give the command again",
        )


def _is_in_a_file(problem: Problem) -> bool:
    """Rather than in a flag of the command, or in a variable."""
    return not problem.file.startswith("--") and problem.file != "environment"


class TemplateInvalid(ConfigInvalid):
    """A file under ``router_templates/`` cannot be used."""

    code = "template_invalid"


class EditConflict(RolegateError):
    """A file is no longer what an edit started from. ``expected`` and ``found`` are etags; ``found`` is ``None`` where the file
    is gone."""

    code = "edit_conflict"
    http_status = 412
    exit_code = 3
    openai_type = "invalid_request_error"

    def __init__(self, *, file: str, expected: str | None, found: str | None) -> None:
        self.file, self.expected, self.found = file, expected, found
        if expected is None:
            what = "is there already"
        elif found is None:
            what = "is gone since it was read"
        else:
            what = f"has changed since it was read (it was {expected[:12]}, it is {found[:12]})"
        super().__init__(f"{file} {what}", hint="nothing was written; read it again and repeat the edit")


class CannotWrite(RolegateError):
    """A file cannot be written where it is to be: no permission, no space, no folder, or something in the way."""

    code = "cannot_write"

    def __init__(self, *, path: str, reason: str, hint: str) -> None:
        self.path, self.reason = path, reason
        super().__init__(f"cannot write {path}: {reason}", hint=hint)


class VaultLocked(RolegateError):
    """The vault cannot be opened with the passphrase or key file that was given, or none was. Nothing was changed."""

    code = "vault_locked"
    http_status = 503
    exit_code = 7

    def __init__(self, *, file: str, reason: str, hint: str) -> None:
        self.file, self.reason = file, reason
        super().__init__(f"{file} stays locked: {reason}", hint=hint)


class VaultUnreadable(RolegateError):
    """The vault file is no vault, is of another version, or is not as it was written. Nothing was changed."""

    code = "vault_unreadable"
    exit_code = 3

    def __init__(self, *, file: str, reason: str, hint: str) -> None:
        self.file, self.reason = file, reason
        super().__init__(f"{file} cannot be used as the vault: {reason}", hint=hint)


class ClientKeysUnreadable(RolegateError):
    """The file of client keys is not as it was written, or others may write to it; until it is mended no key in it counts."""

    code = "client_keys_unreadable"
    http_status = 503
    exit_code = 3

    def __init__(self, *, file: str, reason: str, hint: str) -> None:
        self.file, self.reason = file, reason
        super().__init__(f"{file} cannot be used as the list of client keys: {reason}", hint=hint)


class JournalUnreadable(RolegateError):
    """The request journal cannot be read: damaged, of another version, or not ours to read."""

    code = "journal_unreadable"
