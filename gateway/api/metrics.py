"""``GET /metrics``: what the gateway does and what state it is in, in Prometheus' text format."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from starlette.requests import Request
from starlette.responses import Response

from gateway import __version__
from gateway.api.request_metrics import request_families
from gateway.domain.generation_record import Outcome
from gateway.domain.ports import JournalState
from gateway.runtime.controller import Controller
from gateway.runtime.swap import Switchboard
from gateway.telemetry.request_counts import RequestCounts

_LEFT: Final = {"day": "left_today_usd", "month": "left_month_usd"}


class _Registry:
    """What the library writes: these families, and none of those that it collects for a whole process by itself."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Sequence[Metric]:
        return self._families


class Metrics:
    """Everything is worked out when it is asked for, from what is there anyway. ``spending`` tells what clouds have cost,
    provider by provider, ``resting`` which models are passed over now. No label is a text that a caller chose."""

    def __init__(
        self,
        *,
        counts: RequestCounts,
        controller: Controller,
        switchboard: Switchboard,
        spending: Callable[[], Sequence[Mapping[str, object]]],
        resting: Callable[[], Sequence[Mapping[str, object]]],
        journal_state: JournalState | None,
    ) -> None:
        self._counts = counts
        self._controller = controller
        self._switchboard = switchboard
        self._spending = spending
        self._resting = resting
        self._journal_state = journal_state

    async def show(self, request: Request) -> Response:
        # Read between two requests, so that all of it is of one moment; the text takes longer, and requests go on meanwhile.
        registry = _Registry(tuple(self._families()))
        text = await asyncio.to_thread(generate_latest, registry)
        return Response(text, headers={"content-type": CONTENT_TYPE_PLAIN_0_0_4})

    def _families(self) -> Iterator[Metric]:
        yield InfoMetricFamily("rolegate_build", "The gateway that tells this.", value={"version": __version__})
        yield from request_families(self._counts)
        yield from self._plan()
        yield self._providers()
        yield self._passed_over()
        yield from self._budgets()
        if self._journal_state is not None:
            yield CounterMetricFamily(
                "rolegate_journal_dropped_requests",
                "Requests that the journal could not keep.",
                value=self._journal_state.dropped,
            )

    def _plan(self) -> Iterator[Metric]:
        board = self._switchboard
        live = board.live if board.started else None
        yield GaugeMetricFamily(
            "rolegate_generation",
            "Number of the generation that is live; 0 while none is.",
            value=live.number if live is not None else 0,
        )
        swaps = CounterMetricFamily(
            "rolegate_swaps",
            "Attempts at a new generation, the first one included, by what became of them.",
            labels=("outcome",),
        )
        for outcome in Outcome:
            swaps.add_metric((outcome.value,), self._controller.outcomes.get(outcome, 0))
        yield swaps
        yield GaugeMetricFamily(
            "rolegate_requests_in_flight",
            "Requests that are under way, in whatever generation.",
            value=sum(one.in_flight for one in (*board.draining, *((live,) if live is not None else ()))),
        )

    def _providers(self) -> Metric:
        family = GaugeMetricFamily(
            "rolegate_provider_up",
            "Whether a provider answered when it was last asked what it has; one in the cloud is not asked, and 1.",
            labels=("provider", "kind"),
        )
        discovery = self._controller.registry.last
        for state in discovery.providers if discovery is not None else ():
            family.add_metric((state.provider.name, state.provider.kind.value), int(state.up))
        return family

    def _passed_over(self) -> Metric:
        family = GaugeMetricFamily(
            "rolegate_model_resting",
            "Whether requests pass over a model of the live plan for the time being.",
            labels=("model",),
        )
        roles = self._switchboard.live.roles if self._switchboard.started else {}
        resting = {one["model"] for one in self._resting()}
        for model in sorted({str(one.ref) for plan in roles.values() for one in plan.deployments}):
            family.add_metric((model,), int(model in resting))
        return family

    def _budgets(self) -> Iterator[Metric]:
        left = GaugeMetricFamily(
            "rolegate_budget_left_usd",
            "What a cloud provider may still cost, in US dollars, until the day or the month ends (UTC).",
            labels=("provider", "period"),
        )
        closed = GaugeMetricFamily(
            "rolegate_budget_closed",
            "Whether a cloud provider is not asked any more for the sake of its budget.",
            labels=("provider",),
        )
        for one in self._spending():
            provider = str(one["provider"])
            limits = [(period, usd) for period, key in _LEFT.items() if isinstance(usd := one[key], int | float)]
            for period, usd in limits:
                left.add_metric((provider, period), usd)
            if limits:
                closed.add_metric((provider,), int(bool(one["closed"])))
        yield left
        yield closed
