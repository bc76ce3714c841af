"""Where commands write: data on stdout, talk on stderr, tables and colour on a terminal only."""

import io
import json
import os
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Final, TextIO

import typer

from gateway.cli.tables import Cell, Table, aligned, breaks, kept_columns, printable, style_of, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console as RichConsole
    from rich.console import ConsoleOptions
    from rich.measure import Measurement
    from rich.text import Text

BROKEN_PIPE: Final = 141
"""What a shell reports for a program whose reader went away (128 + SIGPIPE)."""


class OutputLost(Exception):
    """Data cannot be written to stdout; the text is the system's reason."""

    def __str__(self) -> str:
        return f"cannot write to stdout: {self.args[0]}"


class Console:
    """One command's output. ``json`` says that data is asked for as JSON; ``quiet`` that only data and errors are wanted."""

    def __init__(self, *, json: bool, quiet: bool) -> None:
        self.json = json
        self.quiet = quiet
        self.spoken: Callable[[str], str] = printable
        """How a line of talk is written; as it is, unless a program is to read it."""
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
        self._write(sys.stdout, printable(json.dumps(value, indent=2, ensure_ascii=False, default=str), keep="\n"))

    def text(self, *lines: str) -> None:
        """Data as plain lines, each without line breaks."""
        self._write(sys.stdout, "\n".join(map(printable, lines)))

    def line(self, *cells: Cell | str, indent: int = 0) -> None:
        """One line of data, wrapped under its own indent on a terminal."""
        if not self.is_terminal:
            self.text((" " * indent + "  ".join(map(text_of, cells))).rstrip())
            return
        from rich.padding import Padding
        from rich.text import Text

        text = Text("  ").join(Text(text_of(cell), style=style_of(cell)) for cell in cells)
        self._terminal().print(Padding(_Folding(text), (0, 0, 0, indent)))

    def table(self, table: Table) -> None:
        """Data as a table; all of it in a pipe, what fits on a terminal."""
        if not table.rows:
            self.talk(table.empty)
        elif self.is_terminal:
            self._rich_table(table)
        else:
            self.text(*aligned(table))

    def talk(self, *lines: str) -> None:
        """What a person wants to know and a program does not, in lines without line breaks."""
        if lines and any(lines) and not self.quiet:
            self._write(sys.stderr, "\n".join(map(self.spoken, lines)))

    def warn(self, warnings: Sequence[str]) -> None:
        self.talk(*(f"warning: {one}" for one in warnings))

    def error(self, message: str, *, hint: str = "") -> None:
        """What went wrong and what to do; said even when quiet."""
        self._write(sys.stderr, printable(f"error: {message}" + (f"\nhint: {hint}" if hint else ""), keep="\n"))

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
            cells = (Text(text_of(row[index]), style=style_of(row[index])) for index in kept)
            drawn.add_row(*(_Folding(cell) for cell in cells))
        self._terminal().print(drawn)
        left_out = [column.title for index, column in enumerate(table.columns) if index not in kept]
        if left_out:
            note = f"(left out at this width: {', '.join(left_out)}; --json has everything)"
            ends = [0, *breaks(note, width=self._terminal().width), len(note)]
            self.talk(*(note[start:end].rstrip() for start, end in pairwise(ends)))

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
        except OSError as exc:
            if stream is sys.stdout:
                raise output_lost(exc) from None
            _give_up(stream)  # what is said nowhere must not cost the data


class _Folding:
    """Text in the width that rich leaves it, in lines that end where a reader would end them."""

    def __init__(self, text: "Text") -> None:
        self._text = text

    def __rich_measure__(self, console: "RichConsole", options: "ConsoleOptions") -> "Measurement":
        from rich.measure import Measurement

        return Measurement.get(console, options, self._text)

    def __rich_console__(self, console: "RichConsole", options: "ConsoleOptions") -> "Iterator[Text]":
        for line in self._text.divide(breaks(self._text.plain, width=options.max_width)):
            line.rstrip()
            yield line


def output_lost(error: OSError) -> Exception:
    """How a command ends that cannot write to stdout for ``error``: without a word where the reader has had enough, else with
    the reason. Nothing more goes to stdout."""
    _give_up(sys.stdout)
    if isinstance(error, BrokenPipeError):
        return typer.Exit(BROKEN_PIPE)
    return OutputLost(error.strerror or str(error))


def open_closed_streams() -> None:
    """Streams for those that the shell closed (``>&-``): stdout fails when written to, stderr takes what is said nowhere.
    Their descriptors are taken too, so that no file opened later is written to in their place."""
    if sys.stdout is None:
        sys.stdout = _stream_on(1, os.O_RDONLY)
    if sys.stderr is None:
        sys.stderr = _stream_on(2, os.O_WRONLY)


def _stream_on(descriptor: int, flags: int) -> TextIO:
    _to_nowhere(descriptor, flags)
    return io.TextIOWrapper(io.FileIO(descriptor, "w", closefd=False), encoding="utf-8", write_through=True)


def _give_up(stream: TextIO) -> None:
    """Nothing more can be written: leave the interpreter nothing to fail with when it flushes at its exit."""
    _to_nowhere(stream.fileno(), os.O_WRONLY)


def _to_nowhere(descriptor: int, flags: int) -> None:
    nowhere = os.open(os.devnull, flags)
    if nowhere != descriptor:
        os.dup2(nowhere, descriptor)
        os.close(nowhere)
