"""A pull as a person watches it: a bar on a terminal, one line for each phase elsewhere, nothing when quiet."""

from types import TracebackType
from typing import TYPE_CHECKING

from gateway.cli.console import Console
from gateway.cli.tables import printable

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from gateway.embedded.pull import PullProgress


class PullDisplay:
    """Shows how the pull of ``name`` comes along, on stderr, from the first report to the end of the ``with`` block."""

    def __init__(self, *, name: str, console: Console) -> None:
        self._name = name
        self._console = console
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
        if not self._console.talks_to_terminal:
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
            from rich.console import Console as RichConsole
            from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

            self._bar = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=24),
                DownloadColumn(),
                TimeRemainingColumn(compact=True),
                console=RichConsole(stderr=True),
            )
            self._task = self._bar.add_task(printable(self._name), total=None)
            self._bar.start()
        return self._bar, self._task
