"""What the requests since the start add up to, for the status and for whoever collects metrics."""

from collections.abc import Container, Sequence
from typing import Final, NamedTuple

from gateway.domain.ports import Journal
from gateway.domain.record import RequestRecord, cloud_answered
from gateway.errors import AttemptFacts
from gateway.telemetry.histogram import Histogram

DURATIONS_MS: Final = (
    10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1_000.0, 2_500.0, 5_000.0, 10_000.0, 30_000.0, 60_000.0, 120_000.0,
    300_000.0, 600_000.0,
)  # fmt: skip
"""From an answer of a small model in memory to the usual deadline of a whole one."""
FIRST_TOKENS_MS: Final = DURATIONS_MS[:-2]
_MOST_TOKENS: Final = 2**53
"""What is more was not counted by anybody."""

_Facts = tuple[str, str, str, int, str, bool]


class RequestKind(NamedTuple):
    """What requests are told apart by. ``role`` is empty where none was asked for, ``model`` where none answered, ``failure`` (a
    code) where none happened; ``status`` is a class: ``2xx``. ``cloud``: data left the machine."""

    role: str
    model: str
    endpoint: str
    status: str
    failure: str
    cloud: bool


class Tokens:
    """Those of one model's answers for one role, as upstream counted them."""

    __slots__ = ("completion", "prompt")

    def __init__(self) -> None:
        self.prompt = 0
        self.completion = 0


class CloudCost:
    """What one provider's answers cost. ``unpriced`` of them have no known cost, and are not in it."""

    __slots__ = ("unpriced", "usd")

    def __init__(self) -> None:
        self.usd = 0.0
        self.unpriced = 0


class _Cell:
    """Where a request of one kind is counted; all but the first is shared with other kinds."""

    __slots__ = ("duration", "first_token", "requests", "tokens")

    def __init__(self, *, duration: Histogram, first_token: Histogram, tokens: Tokens) -> None:
        self.requests = 0
        self.duration = duration
        self.first_token = first_token
        self.tokens = tokens


class RequestCounts:
    """Counts on the way to the journal. Implements ``Journal``; belongs to the event loop.

    ``roles`` are the names that may stand for themselves: a request for anything else, which its caller spelt, counts under no
    role. ``journal`` may be ``None``. Put this behind what works out the cost of an answer.
    """

    def __init__(self, journal: Journal | None, *, roles: Container[str]) -> None:
        self._journal = journal
        self._roles = roles
        self._cells: dict[RequestKind, _Cell] = {}
        self._by_facts: dict[_Facts, _Cell] = {}
        self._cloud_requests = 0
        self._cloud_last_s: float | None = None
        self.durations: dict[str, Histogram] = {}
        """By role, from a request's arrival to its end."""
        self.first_tokens: dict[str, Histogram] = {}
        """By role, from a request's arrival to the first of its answer."""
        self.tokens: dict[tuple[str, str], Tokens] = {}
        """By role and model."""
        self.failovers: dict[tuple[str, str], int] = {}
        """Attempts beyond the first of a request, by role and by the class of failure of the attempt before."""
        self.cloud_costs: dict[str, CloudCost] = {}
        """By provider."""

    def record(self, request: RequestRecord) -> None:
        """See ``Journal.record``."""
        role = request.role if request.role in self._roles else ""
        facts = (role, request.model, request.endpoint, request.status, request.failure, request.cloud)
        cell = self._by_facts.get(facts)
        if cell is None:
            cell = self._by_facts[facts] = self._cell(facts)
        cell.requests += 1
        cell.duration.observe(request.duration_ms)
        if request.first_token_ms is not None:
            cell.first_token.observe(request.first_token_ms)
        prompt, completion = request.prompt_tokens, request.completion_tokens
        if prompt is not None and 0 < prompt < _MOST_TOKENS:
            cell.tokens.prompt += prompt
        if completion is not None and 0 < completion < _MOST_TOKENS and request.endpoint != "embeddings":
            cell.tokens.completion += completion
        if len(request.attempts) > 1:
            self._moved_on(role, request.attempts)
        if request.cloud:
            self._left(request)
        if self._journal is not None:
            self._journal.record(request)

    @property
    def requests(self) -> dict[RequestKind, int]:
        """How many there were of each kind."""
        return {kind: cell.requests for kind, cell in self._cells.items()}

    def cloud_data(self) -> dict[str, object]:
        """How often something of a request went to a cloud, and when the last of them arrived (epoch seconds)."""
        return {"requests": self._cloud_requests, "last_s": self._cloud_last_s}

    def _cell(self, facts: _Facts) -> _Cell:
        role, model, endpoint, status, failure, cloud = facts
        model = model.encode("utf-8", "replace").decode()  # servers name their models, with whatever characters
        kind = RequestKind(role, model, endpoint, f"{status // 100}xx", failure, cloud)
        if kind not in self._cells:
            self._cells[kind] = _Cell(
                duration=self.durations.setdefault(role, Histogram(DURATIONS_MS)),
                first_token=self.first_tokens.setdefault(role, Histogram(FIRST_TOKENS_MS)),
                tokens=self.tokens.setdefault((role, model), Tokens()),
            )
        return self._cells[kind]

    def _moved_on(self, role: str, attempts: Sequence[AttemptFacts]) -> None:
        for one in attempts[:-1]:
            key = (role, one.failure)
            self.failovers[key] = self.failovers.get(key, 0) + 1

    def _left(self, request: RequestRecord) -> None:
        self._cloud_requests += 1
        self._cloud_last_s = request.time_s
        if not cloud_answered(request):
            return
        provider = request.model.partition(":")[0]
        cost = self.cloud_costs.setdefault(provider, CloudCost())
        if request.cost_usd is None:
            cost.unpriced += 1
        else:
            cost.usd += request.cost_usd
