"""``GET /admin/v1/costs``: what the answers of the last days cost."""

import asyncio
from collections.abc import Callable
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.api.admin_body import only_query
from gateway.domain.cost import By, Price, day_of, report
from gateway.domain.ports import Clock, JournalReader, JournalState
from gateway.errors import BadRequest

USUAL: Final = 30
MOST: Final = 400
SETTLE_S: Final = 1.0
"""How long the answer waits for what is not written yet."""


class Costs:
    """What the journal's daily sums say, those of a second ago included. ``as_if`` finds the price of a model, and may block."""

    def __init__(
        self, *, reader: JournalReader, state: JournalState, as_if: Callable[[str], Price], clock: Clock
    ) -> None:
        self._reader = reader
        self._state = state
        self._as_if = as_if
        self._clock = clock

    async def show(self, request: Request) -> Response:
        given = only_query(request, known=("days", "by", "as"))
        days, by = _days(given.get("days", str(USUAL))), _by(given.get("by", By.ROLE.value))
        return JSONResponse(await asyncio.to_thread(self._told, days, by, given.get("as")))

    def _told(self, days: int, by: By, model: str | None) -> dict[str, object]:
        price = None if model is None else self._as_if(model)
        self._state.flush(within_s=SETTLE_S)
        since = day_of(self._clock.time()) - days + 1
        sums = self._reader.sums(since_day=since)
        return report(sums, since_day=since, days=days, by=by, as_if=price, as_model=model)


def _days(given: str) -> int:
    wanted = int(given) if given.isascii() and given.isdigit() and len(given) < 9 else 0
    if not 1 <= wanted <= MOST:
        raise BadRequest(f'days is "{given}"; allowed: a whole number from 1 to {MOST}', param="days")
    return wanted


def _by(given: str) -> By:
    try:
        return By(given)
    except ValueError as exc:
        allowed = ", ".join(one.value for one in By)
        raise BadRequest(f'by is "{given}"; allowed: {allowed}', param="by") from exc
