"""Streaming: time to the first token, processor time per chunk, and how many streams run at once without a stall.

Every stream is 64 chunks, one every 20 ms. It stalls when the caller waits more than 200 ms between two of them.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.cores import pin
from bench.gateways import ROOT, STOCK_ENVIRONMENT, Gateway
from bench.measure import CannotMeasure, Result, measured
from bench.programs import Target
from bench.stage import LANES, Lane, Stage

ROUNDS = 3
FEW = 16
"""Streams at once while the time to the first token is measured: few enough that the stock proxy keeps up."""
MANY = 128
"""Streams at once while processor time is compared: a core with work to do, so that its waking up from rest, which is the
kernel's and which each side pays alike, does not hide the difference."""

TIMES_LESS_CPU = 10.0
STALL_FREE = {"openai": 256, "ollama": 128}
LEVELS = {"ours": (128, 256, 512, 768, 1024), "stock": (8, 16, 32, 64)}
TRIES = 2


def results(stage: Stage) -> Iterator[Result]:
    for lane in LANES:
        yield from _first(stage, lane=lane)
    with _Router(stage) as router:
        for lane in LANES:
            yield from _chunk(stage, lane=lane, router=router)
    for lane in LANES:
        for name, gateway, what in (("ours", stage.rolegate, "Rolegate"), ("stock", stage.stock, "the stock proxy")):
            target = stage.through(gateway, lane=lane, pace="paced", stream=True)
            held = _held(stage, target, levels=LEVELS[name])
            yield measured(
                [held],
                name=f"{lane} {name} at once",
                what=f"streams at once without a gap over 200 ms, {what} (tried: {', '.join(map(str, LEVELS[name]))})",
                unit="streams",
                at_least=STALL_FREE[lane] if name == "ours" else None,
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cost:
    first_chunk_ms: float
    cpu_us: float


def _first(stage: Stage, *, lane: Lane) -> Iterator[Result]:
    """Time to the first token, beside upstream and the stock proxy, and what a chunk costs both meanwhile."""
    direct_ms: list[float] = []
    seen: dict[str, list[_Cost]] = {"ours": [], "stock": []}
    for _ in range(ROUNDS):
        direct = stage.programs.stream(stage.direct(lane=lane, pace="paced", stream=True), clients=FEW, rounds=1)
        direct_ms.append(direct.first_chunk_ms)
        for name, gateway in (("ours", stage.rolegate), ("stock", stage.stock)):
            seen[name].append(_cost_of(stage, gateway, lane=lane, streams=FEW))
    yield measured(direct_ms, name=f"{lane} direct first", what="time to first token, upstream directly", unit="ms")
    for name, what in (("ours", "Rolegate"), ("stock", "the stock proxy")):
        first_ms = [one.first_chunk_ms for one in seen[name]]
        yield measured(first_ms, name=f"{lane} {name} first", what=f"time to first token, {what}", unit="ms")
    for name, what in (("ours", "Rolegate"), ("stock", "the stock proxy")):
        counted = f"processor time per chunk, {FEW} streams at once, {what}"
        yield measured([one.cpu_us for one in seen[name]], name=f"{lane} {name} {FEW}", what=counted, unit="us")


def _chunk(stage: Stage, *, lane: Lane, router: "_Router") -> Iterator[Result]:
    """Processor time per chunk, beside LiteLLM's Router in a program of its own, which has no callers to send to."""
    ours_us: list[float] = []
    router_us: list[float] = []
    for _ in range(ROUNDS):
        ours_us.append(_cost_of(stage, stage.rolegate, lane=lane, streams=MANY).cpu_us)
        router_us.append(router.cpu_us(f"paced-{lane}", streams=MANY))
    counted = f"processor time per chunk, {MANY} streams at once"
    yield measured(ours_us, name=f"{lane} ours {MANY}", what=f"{counted}, Rolegate", unit="us")
    yield measured(router_us, name=f"{lane} router {MANY}", what=f"{counted}, litellm.Router alone", unit="us")
    yield measured(
        [theirs / ours for theirs, ours in zip(router_us, ours_us, strict=True)],
        name=f"{lane} chunk ratio",
        what="litellm.Router's processor time per chunk over Rolegate's",
        unit="x",
        at_least=TIMES_LESS_CPU,
    )


def _cost_of(stage: Stage, gateway: Gateway, *, lane: Lane, streams: int) -> _Cost:
    target = stage.through(gateway, lane=lane, pace="paced", stream=True)
    before_s = gateway.cpu_s
    taken = stage.programs.stream(target, clients=streams, rounds=1)
    if taken.broken:
        raise CannotMeasure(f"{taken.broken} of {taken.taken} streams from port {target.port} broke off")
    return _Cost(first_chunk_ms=taken.first_chunk_ms, cpu_us=(gateway.cpu_s - before_s) * 1e6 / taken.chunks)


def _held(stage: Stage, target: Target, *, levels: Sequence[int]) -> int:
    """The most streams at once of which none stalled, in one of two tries: another process may take the core for a while."""
    held = 0
    for level in levels:
        if not any(_without_stall(stage, target, clients=level) for _ in range(TRIES)):
            break
        held = level
    return held


def _without_stall(stage: Stage, target: Target, *, clients: int) -> bool:
    streams = stage.programs.stream(target, clients=clients, rounds=2)
    return streams.stalled == streams.broken == 0


class _Router:
    """``bench.router_streams`` as a process on the gateway's core."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def __enter__(self) -> "_Router":
        command = [sys.executable, "-m", "bench.router_streams", str(self._stage.upstream_port)]
        environment = {**os.environ, **STOCK_ENVIRONMENT}
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        pin(self._process.pid, self._stage.cores.gateway)
        self._answer()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def cpu_us(self, model: str, *, streams: int) -> float:
        """Processor time per chunk, in microseconds."""
        stdin = self._process.stdin
        assert stdin is not None
        stdin.write(f"{model} {streams}\n")
        stdin.flush()
        said = self._answer()
        return said["cpu_s"] * 1e6 / said["chunks"]

    def _answer(self) -> dict[str, float]:
        stdout = self._process.stdout
        assert stdout is not None
        line = stdout.readline()
        if not line:
            raise CannotMeasure("litellm.Router ended; is litellm installed here?")
        said: dict[str, float] = json.loads(line)
        return said
