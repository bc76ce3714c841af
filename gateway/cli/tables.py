"""Tables as values, and how they are laid out in the width there is."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from unicodedata import category, combining, east_asian_width

GAP = 2
"""Spaces between two columns."""

_JOINTS: Final = "./_:-[="
"""Behind these a name may go on in the next line."""
_CONTROLS: Final = frozenset({"Cc", "Zl", "Zp"})
_TURNS: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that change the direction of what follows, so that it reads as something else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """Text with the look it has on a terminal (a rich style; elsewhere it is plain)."""

    text: str
    style: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """``spare`` columns go first, highest number first, when the terminal is too narrow; 0 always stays. ``wraps`` columns
    take more than one line instead, once they are ``least`` wide."""

    title: str
    right: bool = False
    spare: int = 0
    wraps: bool = False
    least: int = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows of cells under columns. ``empty`` is what is said instead when there are no rows."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell | str, ...], ...]
    empty: str = ""


def text_of(cell: Cell | str) -> str:
    """A cell's text, safe to print: models and files may be named with anything."""
    return printable(cell if isinstance(cell, str) else cell.text)


def printable(text: str, *, keep: str = "") -> str:
    """``text`` with control characters, line breaks and changes of direction shown as JSON's escapes, so that none of them can
    drive a terminal, begin a line or pass for another text; those in ``keep`` stay."""
    if text.isprintable():
        return text
    return "".join(
        json.dumps(one)[1:-1] if one not in keep and (category(one) in _CONTROLS or one in _TURNS) else one
        for one in text
    ).replace("\x7f", "\\u007f")


def style_of(cell: Cell | str) -> str:
    return "" if isinstance(cell, str) else cell.style


def cells_wide(text: str) -> int:
    """How many terminal columns ``text`` takes."""
    return sum(0 if combining(one) else 2 if east_asian_width(one) in "WF" else 1 for one in text)


def kept_columns(table: Table, *, width: int) -> tuple[int, ...]:
    """The columns (by index) that fit in ``width``: spare ones are left out until the rest do."""
    wide = [_natural_width(table, index) for index in range(len(table.columns))]
    counted = [min(one, column.least) if column.wraps else one for one, column in zip(wide, table.columns, strict=True)]
    kept = list(range(len(table.columns)))
    while sum(counted[index] for index in kept) + GAP * (len(kept) - 1) > width:
        spare = [index for index in kept if table.columns[index].spare]
        if not spare:
            break
        kept.remove(max(spare, key=lambda index: (table.columns[index].spare, index)))
    # One that went for the sake of a wider one that went after all may have room again.
    gone = [index for index in range(len(table.columns)) if index not in kept]
    for index in sorted(gone, key=lambda index: (table.columns[index].spare, index)):
        if sum(counted[one] for one in (*kept, index)) + GAP * len(kept) <= width:
            kept.append(index)
    return tuple(sorted(kept))


def breaks(text: str, *, width: int) -> list[int]:
    """Where lines of ``width`` columns end, as offsets into ``text``: between words where that will do, else behind a dot, a
    slash or the like, and only where a piece has none of them in the middle of it."""
    found: list[int] = []
    start, last = 0, len(text.rstrip())
    while (end := start + max(1, _longest(text[start:], width=width))) < last:
        room = text[start : end + 1]
        between = room.rfind(" ")
        behind = max(room[: end - start].rfind(one) for one in _JOINTS)
        if between > 0:
            end = start + between + 1
        elif behind > 0:
            end = start + behind + 1
        found.append(end)
        start = end
    return found


def _longest(text: str, *, width: int) -> int:
    """How many characters of ``text`` fit into ``width`` columns."""
    taken = 0
    for place, one in enumerate(text):
        taken += cells_wide(one)
        if taken > width:
            return place
    return len(text)


def aligned(table: Table) -> list[str]:
    """The whole table as plain lines, for files and pipes: nothing is left out, nothing is cut."""
    wide = [_natural_width(table, index) for index in range(len(table.columns))]
    titles = tuple(column.title for column in table.columns)
    return [_aligned_line(row, wide=wide, columns=table.columns) for row in (titles, *table.rows)]


def _natural_width(table: Table, index: int) -> int:
    return max(cells_wide(table.columns[index].title), *(cells_wide(text_of(row[index])) for row in table.rows), 0)


def _aligned_line(row: Sequence[Cell | str], *, wide: Sequence[int], columns: Sequence[Column]) -> str:
    parts = []
    for cell, room, column in zip(row, wide, columns, strict=True):
        text = text_of(cell)
        padding = " " * (room - cells_wide(text))
        parts.append(padding + text if column.right else text + padding)
    return (" " * GAP).join(parts).rstrip()
