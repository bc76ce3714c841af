"""Start to ready, and resident memory when ready: each gateway started anew, the others at rest."""

from collections.abc import Iterator

from bench import gateways
from bench.gateways import Gateway
from bench.measure import Result, measured
from bench.stage import Stage

ROUNDS = 2
TIMES_SOONER = 2.0
TIMES_SMALLER = 4 / 3


def results(stage: Stage) -> Iterator[Result]:
    starts_s: dict[str, list[float]] = {}
    resident_mb: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for name, gateway in _gateways(stage).items():
            with gateway:
                starts_s.setdefault(name, []).append(gateway.start_s)
                resident_mb.setdefault(name, []).append(gateway.resident_mb)
    whats = {
        "ours": "Rolegate, local models only",
        "ours+cloud": "Rolegate with a cloud model on the litellm lane",
        "stock": "the stock proxy",
    }
    for name, what in whats.items():
        taken_ms = [start_s * 1000 for start_s in starts_s[name]]
        yield measured(taken_ms, name=f"start {name}", what=f"start to ready, {what}", unit="ms")
    yield measured(
        _ratios(starts_s["stock"], starts_s["ours"]),
        name="start ratio",
        what="the stock proxy's time to ready over Rolegate's",
        unit="x",
        at_least=TIMES_SOONER,
    )
    for name, what in whats.items():
        yield measured(resident_mb[name], name=f"memory {name}", what=f"resident when ready, {what}", unit="MB")
    yield measured(
        _ratios(resident_mb["stock"], resident_mb["ours"]),
        name="memory ratio",
        what="the stock proxy's resident memory over Rolegate's",
        unit="x",
        at_least=round(TIMES_SMALLER, 2),
    )


def _gateways(stage: Stage) -> dict[str, Gateway]:
    port, core = stage.upstream_port, stage.cores.gateway
    return {
        "ours": gateways.rolegate(folder=stage.folder(), upstream_port=port, core=core),
        "ours+cloud": gateways.rolegate(folder=stage.folder(), upstream_port=port, core=core, cloud=True),
        "stock": gateways.stock(folder=stage.folder(), upstream_port=port, core=core),
    }


def _ratios(theirs: list[float], ours: list[float]) -> list[float]:
    return [their / our for their, our in zip(theirs, ours, strict=True)]
