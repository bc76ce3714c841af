"""Added latency: one client, one plain request after the other, through each gateway less upstream called directly."""

from collections.abc import Iterator

from bench.measure import Result, measured
from bench.programs import Answers
from bench.stage import LANES, Lane, Stage

ROUNDS = 5
SECONDS = {"direct": 0.3, "rolegate": 1.0, "stock": 2.0}
TIMES_LESS = 20.0


def results(stage: Stage) -> Iterator[Result]:
    seen: dict[tuple[Lane, str], list[Answers]] = {}
    for number in range(ROUNDS + 1):
        for lane in LANES:
            targets = {
                "direct": stage.direct(lane=lane, pace="quick", stream=False),
                "rolegate": stage.through(stage.rolegate, lane=lane, pace="quick", stream=False),
                "stock": stage.through(stage.stock, lane=lane, pace="quick", stream=False),
            }
            for side, target in targets.items():
                answers = stage.programs.ask(target, clients=1, seconds=SECONDS[side])
                if number:  # the first round warms up
                    seen.setdefault((lane, side), []).append(answers)
    for lane in LANES:
        yield from _lane(lane, *(seen[lane, side] for side in SECONDS))


def _lane(lane: Lane, direct: list[Answers], ours: list[Answers], stock: list[Answers]) -> Iterator[Result]:
    for name, what, sides in (("ours", "Rolegate", ours), ("stock", "the stock proxy", stock)):
        medians = [one.median_ms - bare.median_ms for one, bare in zip(sides, direct, strict=True)]
        p99s = [one.p99_ms - bare.p99_ms for one, bare in zip(sides, direct, strict=True)]
        yield measured(medians, name=f"{lane} {name}", what=f"latency that {what} adds, median", unit="ms")
        yield measured(p99s, name=f"{lane} {name} p99", what=f"latency that {what} adds, 99th percentile", unit="ms")
    ratios = [
        (theirs.median_ms - bare.median_ms) / (one.median_ms - bare.median_ms)
        for one, theirs, bare in zip(ours, stock, direct, strict=True)
    ]
    yield measured(
        ratios,
        name=f"{lane} ratio",
        what="the stock proxy's added latency over Rolegate's, medians, one client",
        unit="x",
        at_least=TIMES_LESS,
    )
