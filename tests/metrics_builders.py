"""What tests of the metrics need: the text that a collector is given, read as a collector reads it."""

from collections.abc import Iterable

import httpx
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

Samples = dict[str, float]


def families(text: str) -> dict[str, Metric]:
    """Every family by the name in its `# TYPE` line."""
    return {
        f"{one.name}_total" if one.type == "counter" else one.name: one for one in text_string_to_metric_families(text)
    }


def samples(parsed: Iterable[Metric]) -> Samples:
    """Every sample as it is written, its labels in order: `rolegate_provider_up{kind="ollama",provider="ollama"}`."""
    found: Samples = {}
    for family in parsed:
        for one in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(one.labels.items()))
            found[f"{one.name}{{{labels}}}" if labels else one.name] = one.value
    return found


async def scraped(client: httpx.AsyncClient) -> Samples:
    """What a collector reads now."""
    answer = await client.get("/metrics")
    assert answer.status_code == 200, answer.text
    return samples(families(answer.text).values())
