"""``GET /admin/v1/costs``."""

from collections.abc import Sequence
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.api.costs import Costs
from gateway.api.early import early_error
from gateway.domain.cost import DaySum, Price, day_of
from gateway.domain.record import RequestRecord
from gateway.errors import BadRequest, RolegateError
from record_builders import NOON_S

TODAY = day_of(NOON_S)


class Clock:
    def monotonic(self) -> float:
        return 0.0

    def time(self) -> float:
        return NOON_S


class Notebook:
    """A journal with two days in it."""

    dropped = 0

    def flush(self, *, within_s: float) -> bool:
        return True

    def recent(self, **_: object) -> Sequence[RequestRecord]:
        return ()

    def find(self, request_id: str) -> RequestRecord | None:
        return None

    def sums(self, *, since_day: int) -> Sequence[DaySum]:
        sums = (
            DaySum(TODAY - 1, "planner", "openai:gpt-4o-mini", True, 1, 1, 1, 10, 1, 0.5),
            DaySum(TODAY, "planner", "ollama:mistral", False, 1, 1, 0, 1_000_000, 0, 0.0),
        )
        return [one for one in sums if one.day >= since_day]


def as_if(model: str) -> Price:
    if model != "openai:gpt-4o-mini":
        raise BadRequest(f'no price is known for "{model}"', param="as")
    return Price(input_usd_per_mtok=3.0, output_usd_per_mtok=4.0)


async def refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, RolegateError)
    return early_error(error, scope=request.scope)


async def asked(**query: str) -> httpx.Response:
    notebook = Notebook()
    costs = Costs(reader=notebook, state=notebook, as_if=as_if, clock=Clock())
    app = Starlette(routes=[Route("/admin/v1/costs", costs.show)], exception_handlers={RolegateError: refused})
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://127.0.0.1") as client:
        return await client.get("/admin/v1/costs", params=query)


async def test_costs_are_told_by_role_for_thirty_days() -> None:
    told: dict[str, Any] = (await asked()).json()
    assert (told["since"], told["days"], told["by"], told["as"]) == ("2001-08-11", 30, "role", None)
    assert [one["role"] for one in told["costs"]] == ["planner"]
    assert told["total"]["cost_usd"] == 0.5


async def test_days_and_lines_are_as_asked_for_and_local_answers_have_another_price() -> None:
    told = (await asked(days="1", by="model", **{"as": "openai:gpt-4o-mini"})).json()
    assert (told["since"], told["as"]) == ("2001-09-09", "openai:gpt-4o-mini")
    assert [(one["model"], one["as_if_usd"]) for one in told["costs"]] == [("ollama:mistral", 3.0)]


@pytest.mark.parametrize(
    ("query", "message", "param"),
    [
        ({"days": "0"}, 'days is "0"; allowed: a whole number from 1 to 400', "days"),
        ({"days": "x"}, 'days is "x"; allowed: a whole number from 1 to 400', "days"),
        ({"by": "mood"}, 'by is "mood"; allowed: role, model, provider, day', "by"),
        ({"as": "x"}, 'no price is known for "x"', "as"),
        ({"since": "1"}, 'there is no query parameter "since"; allowed: days, by, as', "since"),
    ],
)
async def test_what_means_nothing_is_refused(query: dict[str, str], message: str, param: str) -> None:
    answer = await asked(**query)
    error = answer.json()["error"]
    assert (answer.status_code, error["message"], error["param"]) == (400, message, param)
