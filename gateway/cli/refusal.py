"""What is said of a change that was refused as a whole."""

from collections.abc import Iterator
from contextlib import contextmanager

from gateway.file_errors import ConfigInvalid


@contextmanager
def nothing_written() -> Iterator[None]:
    """Problems of a change are not in any file: nobody need mend one."""
    try:
        yield
    except ConfigInvalid as invalid:
        invalid.hint = "nothing was written"
        raise
