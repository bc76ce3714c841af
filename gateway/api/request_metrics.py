"""What requests add up to, as families of metrics."""

from collections.abc import Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

from gateway.telemetry.histogram import Histogram
from gateway.telemetry.request_counts import RequestCounts, RequestKind


def request_families(counts: RequestCounts) -> Iterator[Metric]:
    """Everything since the start, by role where there is one. Reads ``counts`` while it goes."""
    yield _requests(counts)
    yield _histogram(
        "rolegate_request_duration_seconds",
        "Time from a request's arrival to its end, whatever its end.",
        counts.durations,
    )
    yield _histogram(
        "rolegate_time_to_first_token_seconds",
        "Time from a request's arrival to the first of its answer from a model.",
        counts.first_tokens,
    )
    yield from _tokens(counts)
    failovers = CounterMetricFamily(
        "rolegate_failovers",
        "Attempts beyond the first of a request, by the class of failure that led to them.",
        labels=("role", "class"),
    )
    for place, count in sorted(counts.failovers.items()):
        failovers.add_metric(place, count)
    yield failovers
    yield from _costs(counts)


def _requests(counts: RequestCounts) -> Metric:
    family = CounterMetricFamily(
        "rolegate_requests",
        "Requests of the data plane that are over; cloud: data left the machine.",
        labels=RequestKind._fields,
    )
    for kind, count in sorted(counts.requests.items()):
        family.add_metric((*kind[:-1], "true" if kind.cloud else "false"), count)
    return family


def _histogram(name: str, about: str, by_role: Mapping[str, Histogram]) -> Metric:
    family = HistogramMetricFamily(name, about, labels=("role",))
    for role, one in sorted(by_role.items()):
        buckets = [*((f"{bound_s:g}", count) for bound_s, count in one.within()), ("+Inf", one.total)]
        family.add_metric((role,), buckets, one.sum_s)
    return family


def _tokens(counts: RequestCounts) -> Iterator[Metric]:
    labels = ("role", "model")
    prompt = CounterMetricFamily(
        "rolegate_prompt_tokens", "Tokens of prompts, as those who answered counted them.", labels=labels
    )
    completion = CounterMetricFamily(
        "rolegate_completion_tokens", "Tokens of answers, as those who answered counted them.", labels=labels
    )
    for place, tokens in sorted(counts.tokens.items()):
        if place[1]:
            prompt.add_metric(place, tokens.prompt)
            completion.add_metric(place, tokens.completion)
    yield prompt
    yield completion


def _costs(counts: RequestCounts) -> Iterator[Metric]:
    labels = ("provider",)
    cost = CounterMetricFamily(
        "rolegate_cloud_cost_usd", "What answers from clouds cost, in US dollars, as far as it is known.", labels=labels
    )
    unpriced = CounterMetricFamily(
        "rolegate_cloud_unpriced_answers", "Answers from clouds whose cost is unknown.", labels=labels
    )
    for provider, one in sorted(counts.cloud_costs.items()):
        cost.add_metric((provider,), one.usd)
        unpriced.add_metric((provider,), one.unpriced)
    yield cost
    yield unpriced
