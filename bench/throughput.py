"""Throughput: plain requests from 1, 16 and 64 clients that ask again as soon as they are answered, one core for the gateway."""

from collections.abc import Iterator

from bench.measure import Result, measured
from bench.stage import LANES, Lane, Stage

CLIENTS = (1, 16, 64)
BUDGETED = 16
TIMES_MORE = 40.0
ROUNDS = {1: 2, 16: 7, 64: 2}
SECONDS = {"direct": 0.3, "rolegate": 1.0, "stock": 3.0}


def results(stage: Stage) -> Iterator[Result]:
    stage.programs.ask(stage.direct(lane="openai", pace="quick", stream=False), clients=1, seconds=0.1)
    for clients in CLIENTS:
        for lane in LANES:
            yield from _lane(stage, lane=lane, clients=clients)


def _lane(stage: Stage, *, lane: Lane, clients: int) -> Iterator[Result]:
    targets = {
        "direct": stage.direct(lane=lane, pace="quick", stream=False),
        "rolegate": stage.through(stage.rolegate, lane=lane, pace="quick", stream=False),
        "stock": stage.through(stage.stock, lane=lane, pace="quick", stream=False),
    }
    seen: dict[str, list[float]] = {side: [] for side in targets}
    for _ in range(ROUNDS[clients]):
        for side, target in targets.items():
            answers = stage.programs.ask(target, clients=clients, seconds=SECONDS[side])
            seen[side].append(answers.per_second)
    names = {"direct": "upstream directly", "rolegate": "Rolegate", "stock": "the stock proxy"}
    for side, rates in seen.items():
        name = "ours" if side == "rolegate" else side
        yield measured(rates, name=f"{lane} {name} {clients}", what=f"{names[side]}, {_counted(clients)}", unit="req/s")
    ratios = [ours / theirs for ours, theirs in zip(seen["rolegate"], seen["stock"], strict=True)]
    yield measured(
        ratios,
        name=f"{lane} ratio {clients}",
        what=f"Rolegate's throughput over the stock proxy's, {_counted(clients)}",
        unit="x",
        at_least=TIMES_MORE if clients == BUDGETED else None,
    )


def _counted(clients: int) -> str:
    return f"{clients} client{'s' if clients > 1 else ''}"
