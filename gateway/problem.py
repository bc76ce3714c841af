"""One thing wrong in one file, as errors and reports of the configuration tell it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing wrong in one file: where, what was found, what is allowed, what to do.

    ``line`` counts from 1 and is ``None`` where the file as a whole is at fault. ``key_path`` is a set path
    (``role_mappings.planner.preferred[0]``), empty for the file itself.
    """

    file: str
    line: int | None = None
    key_path: str = ""
    found: str
    allowed: str
    nearest: str = ""
    hint: str = ""

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        subject = f"{self.key_path}: " if self.key_path else ""
        text = f"{where}: {subject}found {self.found}; allowed: {self.allowed}"
        if self.nearest:
            text += f'; did you mean "{self.nearest}"?'
        if self.hint:
            text += f"; {self.hint}"
        return text
