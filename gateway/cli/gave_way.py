"""What is said of a file in which something gave way to an edit."""

from pathlib import Path
from typing import Protocol


class Rewritten(Protocol):
    """What an edit did to a file, as far as it takes something away."""

    @property
    def rewritten(self) -> bool: ...

    @property
    def backup(self) -> Path | None: ...


def what_gave_way(edited: Rewritten) -> tuple[str, ...]:
    """Comments, and an older form of the format."""
    if edited.backup is None:
        return ()
    what = "the comments in it gave way" if edited.rewritten else "it was in the form of an older version"
    return (f"{what}; what was in it is kept in {edited.backup}",)
