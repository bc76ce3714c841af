"""What was in a file before it was rewritten and lost something, kept beside it."""

from pathlib import Path

from gateway.config.edition import cannot_write, current_etag, replace_checked
from gateway.file_errors import CannotWrite
from gateway.files.etag import ABSENT, etag
from gateway.files.regular_file import Unreadable, read_regular_file


def keep_backup(path: Path, *, version: int | None) -> Path:
    """Copy ``path`` to ``NAME.bak`` beside it (``NAME.v1.bak`` where it is in the form of that older version, ``NAME.2.bak``
    where the name keeps something else): a name that no layer or profile can have. Whoever may not read the file may not read
    the copy. Raises ``CannotWrite``."""
    try:
        status = path.stat()
        content = read_regular_file(path, at_most_bytes=status.st_size)
    except Unreadable as exc:
        raise CannotWrite(path=str(path), reason=f"found {exc.found}", hint=exc.hint) from exc
    except OSError as exc:
        raise cannot_write(path, exc) from exc
    name = path.name if version is None else f"{path.name}.v{version}"
    number = 1
    while True:
        backup = path.with_name(f"{name}.bak" if number == 1 else f"{name}.{number}.bak")
        there = current_etag(backup)
        if there == etag(content):
            return backup
        if there is None:
            replace_checked(backup, content, expected=ABSENT, mode=status.st_mode & 0o777)
            return backup
        number += 1
