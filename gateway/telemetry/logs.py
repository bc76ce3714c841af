"""One log stream on stderr, as text for people or JSON lines for machines, with every known secret masked."""

import json
import logging
import queue
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from logging.handlers import QueueHandler, QueueListener
from typing import Final, Literal, TextIO

from gateway.domain.secret import Secret

MASK: Final = "[secret]"
_TIME_FORMAT: Final = "%Y-%m-%dT%H:%M:%SZ"
_STANDARD_FIELDS: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class Redactor:
    """Masks known secrets by exact value: an upstream may echo a key in any wording."""

    def __init__(self, secrets: Iterable[Secret] = ()) -> None:
        self._texts: tuple[str, ...] = ()
        for secret in secrets:
            self.add(secret)

    def add(self, secret: Secret) -> None:
        text = secret.reveal()
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

    def format(self, record: logging.LogRecord) -> str:
        ours = record.name.startswith("gateway.")
        extra = {key: value for key, value in vars(record).items() if ours and key not in _STANDARD_FIELDS}
        name = record.name.removeprefix("gateway.")
        when = time.strftime(_TIME_FORMAT, time.gmtime(record.created))
        message = record.getMessage()
        trouble = self.formatException(record.exc_info) if record.exc_info else ""
        if self._form == "json":
            fields = {"time": when, "level": record.levelname.lower(), "logger": name, "message": message, **extra}
            if trouble:
                fields["exception"] = trouble
            return self._redactor.clean(json.dumps(fields, default=str, ensure_ascii=False))
        pairs = "".join(f" {key}={_plain(value)}" for key, value in extra.items())
        line = f"{when} {record.levelname:<7} {name}: {_one_line(message)}{pairs}"
        return self._redactor.clean(f"{line}\n{trouble}" if trouble else line)


def _plain(value: object) -> str:
    """A fact as one word, quoted where it is more than one: what a caller or an upstream said cannot forge another line."""
    text = str(value)
    if text and text.isprintable() and not any(mark in text for mark in ' "='):
        return text
    return json.dumps(text, ensure_ascii=False)


def _one_line(text: str) -> str:
    return text.replace("\r", "\\r").replace("\n", "\\n")


@contextmanager
def logging_to(stream: TextIO, *, form: Literal["text", "json"], level: int, redactor: Redactor) -> Iterator[None]:
    """Send all logs of this process to ``stream`` while the block runs. Lines are written by a thread of their own, so a reader
    that stalls does not stall the caller; libraries below warning level stay quiet."""
    writer = logging.StreamHandler(stream)
    writer.setFormatter(LineFormatter(form=form, redactor=redactor))
    lines: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    listener = QueueListener(lines, writer)
    root, ours = logging.getLogger(), logging.getLogger("gateway")
    kept, levels = root.handlers[:], (root.level, ours.level)
    root.handlers[:] = [_Handover(lines)]
    root.setLevel(logging.WARNING)
    ours.setLevel(level)
    listener.start()
    try:
        yield
    finally:
        listener.stop()
        root.handlers[:] = kept
        root.setLevel(levels[0])
        ours.setLevel(levels[1])


class _Handover(QueueHandler):
    """Hands records over as they are: they are formatted in the same process, where the facts beside the message count."""

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        return record
