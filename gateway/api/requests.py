"""``GET /admin/v1/requests``: what became of the latest requests."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.api.admin_body import flag_of
from gateway.domain.ports import JournalReader, JournalState
from gateway.domain.record import request_data
from gateway.errors import BadRequest

T = TypeVar("T")

MOST: Final = 1_000
USUAL: Final = 100
SETTLE_S: Final = 1.0
"""How long the answer waits for what is not written yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What is asked for: how many, of which role, since when (epoch seconds), before which request id."""

    limit: int = USUAL
    failed: bool = False
    role: str | None = None
    since_s: float | None = None
    before: str | None = None

    @classmethod
    def parse(cls, given: Mapping[str, str]) -> "Query":
        """An empty value counts as not given. Raises ``BadRequest`` with what is allowed."""
        known = ("failed", "role", "limit", "since", "before")
        for name in given:
            if name not in known:
                raise BadRequest(f'there is no query parameter "{name}"; allowed: {", ".join(known)}', param=name)
        told = {name: value for name, value in given.items() if value}
        usual = cls()
        return cls(
            limit=_limit(told["limit"]) if "limit" in told else usual.limit,
            failed=flag_of(told, "failed"),
            role=told.get("role"),
            since_s=_time_s("since", told["since"]) if "since" in told else usual.since_s,
            before=told.get("before"),
        )


class Requests:
    """The journal's newest requests, those of a second ago included."""

    def __init__(self, *, reader: JournalReader, state: JournalState) -> None:
        self._reader = reader
        self._state = state

    async def recent(self, request: Request) -> Response:
        query = Query.parse(request.query_params)
        content = await asyncio.to_thread(self._look, query)
        return JSONResponse({"requests": content, "dropped": self._state.dropped})

    def _look(self, query: Query) -> list[dict[str, object]]:
        self._state.flush(within_s=SETTLE_S)
        found = self._reader.recent(
            limit=query.limit, failed=query.failed, role=query.role, since_s=query.since_s, before=query.before
        )
        return [request_data(one) for one in found]


def _limit(value: str) -> int:
    wanted = _parsed(value, int)
    if wanted is None or not 1 <= wanted <= MOST:
        raise _wrong("limit", value, allowed=f"a whole number from 1 to {MOST:,}")
    return wanted


def _time_s(name: str, value: str) -> float:
    when_s = _parsed(value, float)
    if when_s is None or not 0 <= when_s < float("inf"):
        raise _wrong(name, value, allowed="a time in seconds since 1970")
    return when_s


def _parsed(value: str, kind: Callable[[str], T]) -> T | None:
    try:
        return kind(value)
    except ValueError:
        return None


def _wrong(name: str, value: str, *, allowed: str) -> BadRequest:
    return BadRequest(f'{name} is "{value}"; allowed: {allowed}', param=name)
