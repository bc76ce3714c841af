"""Where commands write: data on stdout, talk on stderr, tables and colour on a terminal only."""

import json
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, TextIO

import typer

from gateway.cli.tables import Cell, Table, aligned, kept_columns, style_of, text_of

if TYPE_CHECKING:
    from rich.console import Console as RichConsole

BROKEN_PIPE: Final = 141
"""What a shell reports for a program whose reader went away (128 + SIGPIPE)."""


class Console:
    """One command's output. ``json`` says that data is asked for as JSON; ``quiet`` that only data and errors are wanted."""

    def __init__(self, *, json: bool, quiet: bool) -> None:
        self.json = json
        self.quiet = quiet
        self._rich: RichConsole | None = None

    @property
    def is_terminal(self) -> bool:
        """Does data go to a terminal?"""
        return sys.stdout.isatty()

    @property
    def talks_to_terminal(self) -> bool:
        """Does talk go to a terminal?"""
        return sys.stderr.isatty()

    def value(self, value: object) -> None:
        """Data as JSON."""
        self._write(sys.stdout, json.dumps(value, indent=2, ensure_ascii=False, default=str))

    def text(self, *lines: str) -> None:
        """Data as plain lines."""
        self._write(sys.stdout, "\n".join(lines))

    def line(self, *cells: Cell | str, indent: int = 0) -> None:
        """One line of data, wrapped under its own indent on a terminal."""
        if not self.is_terminal:
            self.text((" " * indent + "  ".join(map(text_of, cells))).rstrip())
            return
        from rich.padding import Padding
        from rich.text import Text

        text = Text("  ").join(Text(text_of(cell), style=style_of(cell)) for cell in cells)
        self._terminal().print(Padding(text, (0, 0, 0, indent)))

    def table(self, table: Table) -> None:
        """Data as a table; all of it in a pipe, what fits on a terminal."""
        if not table.rows:
            self.talk(table.empty)
        elif self.is_terminal:
            self._rich_table(table)
        else:
            self.text(*aligned(table))

    def talk(self, *lines: str) -> None:
        """What a person wants to know and a program does not."""
        if lines and any(lines) and not self.quiet:
            self._write(sys.stderr, "\n".join(lines))

    def warn(self, warnings: Sequence[str]) -> None:
        self.talk(*(f"warning: {one}" for one in warnings))

    def error(self, message: str, *, hint: str = "") -> None:
        """What went wrong and what to do; said even when quiet."""
        self._write(sys.stderr, f"error: {message}" + (f"\nhint: {hint}" if hint else ""))

    def _rich_table(self, table: Table) -> None:
        from rich import box
        from rich.table import Table as RichTable
        from rich.text import Text

        kept = kept_columns(table, width=self._terminal().width)
        drawn = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
        for index in kept:
            column = table.columns[index]
            drawn.add_column(
                column.title, justify="right" if column.right else "left", no_wrap=not column.wraps, overflow="fold"
            )
        for row in table.rows:
            drawn.add_row(*(Text(text_of(row[index]), style=style_of(row[index])) for index in kept))
        self._terminal().print(drawn)
        left_out = [column.title for index, column in enumerate(table.columns) if index not in kept]
        if left_out:
            self.talk(f"(left out at this width: {', '.join(left_out)}; --json has everything)")

    def _terminal(self) -> "RichConsole":
        if self._rich is None:
            from rich.console import Console as RichConsole

            self._rich = RichConsole(file=sys.stdout, highlight=False, markup=False, emoji=False)
        return self._rich

    @staticmethod
    def _write(stream: TextIO, text: str) -> None:
        try:
            stream.write(text + "\n")
            stream.flush()
        except BrokenPipeError:
            raise _reader_gone() from None


def _reader_gone() -> typer.Exit:
    """Whoever read the output has enough: end without a word, and give the interpreter nothing to flush at its exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
    return typer.Exit(BROKEN_PIPE)
