"""Laws of the journal, whatever callers and upstreams put into a request."""

import math
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.record import RequestRecord, request_data
from gateway.domain.secret import Secret
from gateway.errors import AttemptFacts
from gateway.telemetry.journal import JournalFile
from gateway.telemetry.journal_reader import JournalFileReader
from gateway.telemetry.journal_table import MOST_MESSAGE, MOST_TEXT, record_of, rows_of
from gateway.telemetry.logs import Redactor

SECRET = "sk-0123456789"
WITHIN_S = 30.0

anything = st.text(st.characters(), max_size=400) | st.just("a\x00b\ud800\n\x1b[2J") | st.just(f"said {SECRET} to me")
integers = st.integers() | st.sampled_from((2**63 - 1, -(2**63), 2**63, 10**400))
numbers = st.floats() | integers
attempts = st.builds(AttemptFacts, model=anything, failure=anything, status=st.none() | integers, ms=numbers)
records = st.builds(
    RequestRecord,
    request_id=anything,
    time_s=numbers,
    endpoint=anything,
    role=anything,
    stream=st.booleans(),
    status=integers,
    failure=anything,
    model=anything,
    generation=st.none() | integers,
    cloud=st.booleans(),
    attempts=st.lists(attempts, max_size=3).map(tuple),
    fallback_reason=anything,
    prompt_tokens=st.none() | integers,
    completion_tokens=st.none() | integers,
    first_token_ms=st.none() | numbers,
    duration_ms=numbers,
    message=st.text(max_size=3_000),
)


def new_redactor() -> Redactor:
    return Redactor([Secret(SECRET)])


@given(records)
def test_a_row_is_the_record_with_secrets_masked_and_all_else_in_bounds(record: RequestRecord) -> None:
    back = record_of(rows_of([record], redactor=new_redactor())[0])
    assert SECRET not in repr(back)
    assert (back.stream, back.cloud, len(back.attempts)) == (record.stream, record.cloud, len(record.attempts))
    assert max(map(len, (back.request_id, back.role, back.failure, back.model, back.endpoint))) <= MOST_TEXT
    assert len(back.message) <= MOST_MESSAGE
    for number in (back.time_s, back.duration_ms, back.first_token_ms, *(one.ms for one in back.attempts)):
        assert number is None or math.isfinite(number)
    assert rows_of([back], redactor=new_redactor()) == rows_of([record], redactor=new_redactor())


@given(st.lists(records, max_size=12), st.integers(min_value=1, max_value=5))
@settings(max_examples=40)
def test_no_record_stops_the_journal_and_the_newest_are_read_as_data(given: list[RequestRecord], most: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.sqlite"
        journal = JournalFile(path=path, redactor=new_redactor(), keep_rows=most, now_s=lambda: -math.inf)
        journal.start()
        for one in given:
            journal.record(one)
        assert journal.flush(within_s=WITHIN_S)
        journal.close(within_s=WITHIN_S)
        assert journal.dropped == 0
        expected = [record_of(rows_of([one], redactor=new_redactor())[0]) for one in given[::-1][:most]]
        found = list(JournalFileReader(path=path).recent(limit=100))
        assert [request_data(one) for one in found] == [request_data(one) for one in expected]
