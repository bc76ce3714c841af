"""``GET /admin/v1/requests``."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.api.errors import error_status
from gateway.api.requests import Requests
from gateway.compose.journal import journal_of, journal_reader_of
from gateway.domain.record import request_data
from gateway.errors import RolegateError
from gateway.relay.error_shape import error_object
from gateway.telemetry.journal import JournalFile
from gateway.telemetry.logs import Redactor
from record_builders import NOON_S, a_failed_record, a_record


@pytest.fixture
def journal(tmp_path: Path) -> JournalFile:
    return JournalFile(path=tmp_path / "journal.sqlite", redactor=Redactor(), now_s=lambda: NOON_S)


@pytest.fixture
async def client(tmp_path: Path, journal: JournalFile) -> AsyncIterator[httpx.AsyncClient]:
    """The route by itself, with the application's way to answer errors."""

    async def our_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, RolegateError)
        return JSONResponse(error_object(error), status_code=error_status(error))

    route = Requests(reader=journal_reader_of(tmp_path), state=journal)
    app = Starlette(routes=[Route("/admin/v1/requests", route.recent)], exception_handlers={RolegateError: our_error})
    journal.start()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:
        yield client
    journal.close()


async def test_a_request_that_has_just_ended_is_in_the_answer(client: httpx.AsyncClient, journal: JournalFile) -> None:
    records = [a_record("1"), a_failed_record("2")]
    for one in records:
        journal.record(one)
    answer = await client.get("/admin/v1/requests")
    assert answer.status_code == 200
    assert answer.json() == {"requests": [request_data(one) for one in records[::-1]], "dropped": 0}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", "4321"),
        ("failed=1", "42"),
        ("failed=true&role=planner", "2"),
        ("failed=0", "4321"),
        ("failed=&role=&limit=", "4321"),
        ("limit=1", "4"),
        ("before=3", "21"),
        (f"since={NOON_S - 10}", "4"),
    ],
)
async def test_the_answer_is_filtered(
    query: str, expected: str, client: httpx.AsyncClient, journal: JournalFile
) -> None:
    journal.record(a_record("1", time_s=NOON_S - 30))
    journal.record(a_failed_record("2", time_s=NOON_S - 20))
    journal.record(a_record("3", role="writer", time_s=NOON_S - 11))
    journal.record(a_failed_record("4", role="writer"))
    answer = await client.get(f"/admin/v1/requests?{query}")
    assert "".join(one["id"] for one in answer.json()["requests"]) == expected


@pytest.mark.parametrize(
    ("query", "param", "said"),
    [
        ("limit=0", "limit", 'limit is "0"; allowed: a whole number from 1 to 1,000'),
        ("limit=1001", "limit", 'limit is "1001"; allowed: a whole number from 1 to 1,000'),
        ("limit=ten", "limit", 'limit is "ten"; allowed: a whole number from 1 to 1,000'),
        ("failed=maybe", "failed", 'failed: found "maybe"; allowed: 1 or 0'),
        ("since=nan", "since", 'since is "nan"; allowed: a time in seconds since 1970'),
        ("since=inf", "since", 'since is "inf"; allowed: a time in seconds since 1970'),
        ("roel=x", "roel", 'there is no query parameter "roel"; allowed: failed, role, limit, since, before'),
    ],
)
async def test_a_wrong_query_is_answered_with_what_is_allowed(
    query: str, param: str, said: str, client: httpx.AsyncClient
) -> None:
    answer = await client.get(f"/admin/v1/requests?{query}")
    assert answer.status_code == 400
    assert answer.json() == {
        "error": {
            "message": said,
            "type": "invalid_request_error",
            "code": "invalid_request",
            "param": param,
            "source": "gateway",
        }
    }


async def test_what_could_not_be_kept_is_counted(
    tmp_path: Path, client: httpx.AsyncClient, journal: JournalFile
) -> None:
    (tmp_path / "journal.sqlite").write_bytes(b"not a database at all" * 100)
    journal.record(a_record())
    answer = await client.get("/admin/v1/requests")
    assert answer.status_code == 500
    assert answer.json()["error"]["message"].endswith(
        "journal.sqlite cannot be read: file is not a database (if it stays "
        "so, move it away: the gateway begins a new one)"
    )
    (tmp_path / "journal.sqlite").unlink()
    journal.record(a_record("after"))
    answer = await client.get("/admin/v1/requests")
    assert [one["id"] for one in answer.json()["requests"]] == ["after"]
    assert answer.json()["dropped"] == 1


async def test_a_new_journal_of_an_installation_lies_in_its_state_folder(tmp_path: Path) -> None:
    journal = journal_of(tmp_path / "state", redactor=Redactor())
    journal.start()
    journal.record(a_record(time_s=4e9))
    journal.close(within_s=30)
    assert (tmp_path / "state" / "journal.sqlite").exists()
    assert len(journal_reader_of(tmp_path / "state").recent(limit=2)) == 1
