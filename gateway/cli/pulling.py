"""Pulls and loads as a person watches them: bars and a spinner on a terminal, one line for each phase elsewhere, nothing when
quiet."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING

from gateway.cli.console import Console
from gateway.cli.tables import printable

if TYPE_CHECKING:
    from rich.console import Console as RichConsole
    from rich.progress import Progress, TaskID

    from gateway.domain.keeping import PullStep
    from gateway.embedded.pull import PullProgress


class PullDisplay:
    """Shows how the pull of ``name`` comes along, on stderr, from the first report to the end of the ``with`` block."""

    def __init__(self, *, name: str, console: Console) -> None:
        self._name = name
        self._console = console
        # Asked once: while a bar is shown, stderr is rich's, and says that it is no terminal.
        self._on_terminal = console.talks_to_terminal
        self._phase = ""
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> "PullDisplay":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def progress(self, report: "PullProgress") -> None:
        """What a pull calls."""
        self.show(report.phase.value, done_bytes=report.done_bytes, total_bytes=report.total_bytes)

    def show(self, phase: str, *, done_bytes: int, total_bytes: int | None) -> None:
        """One step; ``total_bytes`` is ``None`` while nobody knows it."""
        if self._console.quiet:
            return
        if not self._on_terminal:
            if phase != self._phase:
                size = "" if total_bytes is None else f" ({total_bytes / 1e6:.1f} MB)"
                self._console.talk(f"{phase} {self._name}{size}")
            self._phase = phase
            return
        bar, task = self._started()
        if phase != self._phase:
            self._phase = phase
            bar.reset(task, description=printable(f"{phase} {self._name}"), total=total_bytes)
        bar.update(task, completed=done_bytes, total=total_bytes)

    def close(self) -> None:
        """Leave the bar as it is and give the line back."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
            self._phase = ""

    def _started(self) -> "tuple[Progress, TaskID]":
        if self._bar is None or self._task is None:
            self._bar = _bars()
            self._task = self._bar.add_task(printable(self._name), total=None)
            self._bar.start()
        return self._bar, self._task


class LayerDisplay:
    """Shows how a pull that comes in layers gets along, on stderr: a bar for each layer, until the end of the ``with`` block."""

    def __init__(self, *, name: str, console: Console) -> None:
        self._name = name
        self._console = console
        self._on_terminal = console.talks_to_terminal  # asked once, as above
        self._told = ""
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> "LayerDisplay":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    def progress(self, step: "PullStep") -> None:
        """What a pull calls."""
        if self._console.quiet or not step.status:
            return
        if step.layer and self._on_terminal:
            self._bar(step)
        elif step.status != self._told:
            self._told = step.status
            size = "" if step.total_bytes is None else f" ({step.total_bytes / 1e6:.1f} MB)"
            if self._bars is None:
                self._console.talk(f"{self._name}: {step.status}{size}")
            else:
                self._bars.console.print(printable(f"{self._name}: {step.status}{size}"))

    def _bar(self, step: "PullStep") -> None:
        if self._bars is None:
            self._bars = _bars()
            self._bars.start()
        if step.layer not in self._tasks:
            self._tasks[step.layer] = self._bars.add_task(printable(step.status), total=step.total_bytes)
        self._bars.update(self._tasks[step.layer], completed=step.done_bytes, total=step.total_bytes)


@contextmanager
def waiting(text: str, *, console: Console) -> Iterator[None]:
    """Say on stderr what is waited for until the end of the block: with a spinner on a terminal, in one line elsewhere."""
    if console.quiet:
        yield
    elif not console.talks_to_terminal:
        console.talk(text)
        yield
    else:
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
        with Progress(*columns, console=_stderr(), transient=True) as spinner:
            spinner.add_task(printable(text), total=None)
            yield


def _bars() -> "Progress":
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        DownloadColumn(),
        TimeRemainingColumn(compact=True),
        console=_stderr(),
    )


def _stderr() -> "RichConsole":
    """Without markup and emoji: the colons of a model's name are neither."""
    from rich.console import Console as RichConsole

    return RichConsole(stderr=True, highlight=False, markup=False, emoji=False)
