"""One log stream on stderr, as text for people or JSON lines for machines, with every known secret masked."""

import json
import logging
import threading
import time
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Final, Literal, TextIO

from gateway.domain.secret import Secret

MASK: Final = "[secret]"
TOGETHER_S: Final = 0.05
"""How long a line of which there are many may wait for others."""
_TIME_FORMAT: Final = "%Y-%m-%dT%H:%M:%SZ"
_WORDS: Final = (int, float, bool)
FACTS: Final = "facts"
"""Under this name a record may bring all that it has to say beside its message, which then need not be told from the rest."""
_STANDARD_FIELDS: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", FACTS}


class Redactor:
    """Masks known secrets by exact value: an upstream may echo a key in any wording."""

    def __init__(self, secrets: Iterable[Secret] = ()) -> None:
        self._texts: tuple[str, ...] = ()
        self._lock = threading.Lock()
        for secret in secrets:
            self.add(secret)

    def add(self, secret: Secret) -> None:
        text = secret.reveal()
        with self._lock:
            if text and text not in self._texts:
                self._texts = tuple(sorted((*self._texts, text), key=len, reverse=True))

    def clean(self, text: str) -> str:
        for secret in self._texts:
            if secret in text:
                text = text.replace(secret, MASK)
        return text


class LineFormatter(logging.Formatter):
    """``2026-11-22T10:00:00Z INFO runtime: message key=value``, or the same as one JSON object; UTC."""

    def __init__(self, *, form: Literal["text", "json"], redactor: Redactor) -> None:
        super().__init__()
        self._form = form
        self._redactor = redactor
        self._second = -1
        self._time = ""

    def _when(self, created_s: float) -> str:
        """The second of a record; the next ones are of the same."""
        second = int(created_s)
        if second != self._second:
            self._second, self._time = second, time.strftime(_TIME_FORMAT, time.gmtime(second))
        return self._time

    def format(self, record: logging.LogRecord) -> str:
        fields = vars(record)
        extra = fields.get(FACTS)
        if extra is None:
            ours = record.name.startswith("gateway.")
            extra = {key: fields[key] for key in fields if key not in _STANDARD_FIELDS} if ours else {}
        name = record.name.removeprefix("gateway.")
        when = self._when(record.created)
        message = record.getMessage()
        trouble = self.formatException(record.exc_info) if record.exc_info else ""
        if self._form == "json":
            told = {"time": when, "level": record.levelname.lower(), "logger": name, "message": message, **extra}
            if trouble:
                told["exception"] = trouble
            return self._redactor.clean(json.dumps(told, default=str, ensure_ascii=False))
        pairs = "".join([f" {key}={_plain(value)}" for key, value in extra.items()])
        line = f"{when} {record.levelname:<7} {name}: {_one_line(message)}{pairs}"
        return self._redactor.clean(f"{line}\n{trouble}" if trouble else line)


def _plain(value: object) -> str:
    """A fact as one word, quoted where it is more than one: what a caller or an upstream said cannot forge another line."""
    text = str(value)
    if type(value) in _WORDS or text.isalnum():
        return text
    if text and text.isprintable() and not (" " in text or '"' in text or "=" in text):
        return text
    return json.dumps(text, ensure_ascii=False)


def _one_line(text: str) -> str:
    return text if text.isprintable() else text.replace("\r", "\\r").replace("\n", "\\n")


@contextmanager
def logging_to(
    stream: TextIO,
    *,
    form: Literal["text", "json"],
    level: int,
    redactor: Redactor,
    together: Collection[str] = (),
) -> Iterator[None]:
    """Send all logs of this process to ``stream`` while the block runs. Lines are written by a thread of their own, so a reader
    that stalls does not stall the caller; libraries below warning level stay quiet.

    A line is written at once, so that a process that is killed has said what it did; those of the loggers in ``together``, of
    which there are many, wait for each other, for ``TOGETHER_S`` at most.
    """
    writer = _LineWriter(stream, formatter=LineFormatter(form=form, redactor=redactor), together=together)
    root, ours = logging.getLogger(), logging.getLogger("gateway")
    kept, levels = root.handlers[:], (root.level, ours.level)
    root.handlers[:] = [writer]
    # There is nobody on the way to the root who wants to hear of what there is much of.
    frequent = [logging.getLogger(name) for name in together]
    for logger in frequent:
        logger.addHandler(writer)
        logger.propagate = False
    root.setLevel(logging.WARNING)
    ours.setLevel(level)
    # Nobody reads which thread or process a record came from, and finding out is most of what making one costs.
    found_out = (logging.logThreads, logging.logProcesses, logging.logMultiprocessing)
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    writer.start()
    try:
        yield
    finally:
        writer.close()
        logging.logThreads, logging.logProcesses, logging.logMultiprocessing = found_out
        root.handlers[:] = kept
        for logger in frequent:
            logger.removeHandler(writer)
            logger.propagate = True
        root.setLevel(levels[0])
        ours.setLevel(levels[1])


class _LineWriter(logging.Handler):
    """Takes records as they are and has its thread write them. Those of ``together`` are written a moment later, those of that
    moment together: a thread that is woken for every line would cost the requests more than the line does."""

    def __init__(self, stream: TextIO, *, formatter: LineFormatter, together: Collection[str]) -> None:
        super().__init__()
        self._stream = stream
        self.setFormatter(formatter)
        self._together = frozenset(together)
        self._records: deque[logging.LogRecord] = deque()
        self._wake = threading.Event()
        self._hurry = threading.Event()
        self._ending = False
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def handle(self, record: logging.LogRecord) -> bool:
        # A deque needs no lock.
        self._records.append(record)
        if record.name not in self._together:
            self._hurry.set()
        if not self._wake.is_set():
            self._wake.set()
        return True

    def close(self) -> None:
        """Write what is left."""
        if self._thread.is_alive():
            self._ending = True
            self._hurry.set()
            self._wake.set()
            self._thread.join()
        super().close()

    def _run(self) -> None:
        while not self._ending:
            self._wake.wait()
            self._hurry.wait(TOGETHER_S)
            self._hurry.clear()
            self._wake.clear()
            self._write()
        self._write()

    def _write(self) -> None:
        lines = []
        while self._records:
            record = self._records.popleft()
            try:
                lines.append(self.format(record) + "\n")
            except Exception:  # noqa: BLE001  (one record that cannot be written must not silence the others)
                self.handleError(record)
        if lines:
            # Whoever reads the log may be gone.
            with suppress(OSError, ValueError):
                self._stream.write("".join(lines))
                self._stream.flush()
