"""Log lines, as text and as JSON, with secrets masked."""

import io
import json
import logging
import threading

import pytest

from gateway.domain.secret import Secret
from gateway.telemetry.logs import LineFormatter, Redactor, logging_to

KEY = Secret("sk-canary-1234567890")


def record(message: str, *arguments: object, **extra: object) -> logging.LogRecord:
    made = logging.makeLogRecord(
        {"name": "gateway.runtime.swap", "levelname": "INFO", "msg": message, "args": arguments, "created": 0.0}
    )
    vars(made).update(extra)
    return made


def test_a_line_of_text_has_time_level_place_and_facts() -> None:
    line = LineFormatter(form="text", redactor=Redactor()).format(record("plan is %s", "live", generation=2))
    assert line == "1970-01-01T00:00:00Z INFO    runtime.swap: plan is live generation=2"


def test_a_line_of_json_is_one_object() -> None:
    line = LineFormatter(form="json", redactor=Redactor()).format(record("plan is live", generation=2))
    assert json.loads(line) == {
        "time": "1970-01-01T00:00:00Z",
        "level": "info",
        "logger": "runtime.swap",
        "message": "plan is live",
        "generation": 2,
    }


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_secret_is_masked_wherever_it_stands(form: str) -> None:
    stream = io.StringIO()
    with logging_to(stream, form=form, level=logging.INFO, redactor=Redactor([KEY])):  # type: ignore[arg-type]  # one of both
        try:
            raise ValueError(f"refused {KEY.reveal()}")
        except ValueError:
            logging.getLogger("gateway.test").exception(
                "upstream said %s", KEY.reveal(), extra={"detail": KEY.reveal()}
            )
    assert KEY.reveal() not in stream.getvalue()
    assert stream.getvalue().count("[secret]") == 3


def test_what_a_library_hangs_on_a_record_is_not_a_fact() -> None:
    foreign = record("hello", marked=object())
    foreign.name = "uvicorn.error"
    assert LineFormatter(form="text", redactor=Redactor()).format(foreign).endswith("uvicorn.error: hello")


def test_a_line_break_in_a_fact_does_not_forge_a_second_line() -> None:
    line = LineFormatter(form="text", redactor=Redactor()).format(record("chat", reason="a\n1970 INFO x: forged"))
    assert line.endswith('chat reason="a\\n1970 INFO x: forged"')


def test_libraries_are_heard_from_warnings_on_and_the_gateway_from_its_level() -> None:
    stream = io.StringIO()
    with logging_to(stream, form="text", level=logging.INFO, redactor=Redactor()):
        logging.getLogger("httpx").info("noise")
        logging.getLogger("httpx").warning("trouble")
        logging.getLogger("gateway.x").info("news")
    assert [line.split(maxsplit=1)[1] for line in stream.getvalue().splitlines()] == [
        "WARNING httpx: trouble",
        "INFO    x: news",
    ]


class Reader(io.StringIO):
    """A stream that says when something was written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.written = threading.Event()

    def write(self, text: str) -> int:
        done = super().write(text)
        self.written.set()
        return done


def test_a_line_is_written_at_once_with_those_that_wait_for_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.telemetry.logs.TOGETHER_S", 3_600.0)
    stream = Reader()
    together = ("gateway.requests",)
    with logging_to(stream, form="text", level=logging.INFO, redactor=Redactor(), together=together):
        logging.getLogger("gateway.requests").info("first")
        logging.getLogger("gateway.requests").info("second")
        logging.getLogger("gateway.runtime").info("plan is live")
        assert stream.written.wait(20)
        logging.getLogger("gateway.requests").info("third")
    said = [line.rsplit(": ", 1)[1] for line in stream.getvalue().splitlines()]
    assert said == ["first", "second", "plan is live", "third"]


def test_the_lines_of_requests_are_written_without_anything_else_that_happens() -> None:
    stream = Reader()
    with logging_to(stream, form="text", level=logging.INFO, redactor=Redactor(), together=("gateway.requests",)):
        logging.getLogger("gateway.requests").info("first")
        assert stream.written.wait(20)
