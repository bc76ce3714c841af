"""Swaps under load: what callers notice of some three a second, beside the same callers without any."""

import http.client
import json
import math
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bench import gateways
from bench.gateways import Gateway
from bench.measure import CannotMeasure, Result, measured
from bench.programs import STREAM_MS, Answers
from bench.stage import Stage

CLIENTS: Final = 32
"""So many who stream, and so many who do not."""
ROUNDS: Final = 5
SECONDS: Final = 4.0
PAUSE_S: Final = 0.25
"""Between one swap and the next change."""
TIMES_SLOWER: Final = 2.0
LOOK_S: Final = 0.02
WITHIN_S: Final = 20.0


def results(stage: Stage) -> Iterator[Result]:
    folder = stage.folder()
    made = gateways.swapping(folder=folder, upstream_port=stage.upstream_port, core=stage.cores.gateway)
    with made as gateway:
        _load(stage, gateway)  # warms up
        quiet: list[Answers] = []
        swapped: list[Answers] = []
        before, operator = generation(gateway), _Operator(gateway, folder=folder)
        for _ in range(ROUNDS):
            quiet.append(_load(stage, gateway))
            with operator.at_work():
                swapped.append(_load(stage, gateway))
        swaps = generation(gateway) - before
    asked = f"{CLIENTS} plain callers beside {CLIENTS} who stream"
    yield measured([one.p99_ms for one in quiet], name="p99, no swaps", what=f"99th percentile, {asked}", unit="ms")
    yield measured(
        [one.p99_ms for one in swapped],
        name="p99, swaps",
        what=f"the same while {swaps} swaps of 3 roles x 4 deployments go through in {ROUNDS * SECONDS:g} s",
        unit="ms",
    )
    yield measured(
        [one.p99_ms / alone.p99_ms for one, alone in zip(swapped, quiet, strict=True)],
        name="p99 ratio",
        what="99th percentile during swaps over that without",
        unit="x",
        at_most=TIMES_SLOWER,
    )


def _load(stage: Stage, gateway: Gateway) -> Answers:
    """Both kinds of callers for ``SECONDS``; what those saw who do not stream. No request may fail."""
    plain = stage.asking(gateway, model="planner", stream=False)
    streaming = stage.asking(gateway, model="executor", stream=True)
    rounds = math.ceil(SECONDS * 1000 / STREAM_MS) - 1
    with ThreadPoolExecutor(max_workers=1) as beside:
        streams = beside.submit(stage.programs.stream, streaming, clients=CLIENTS, rounds=rounds)
        answers = stage.programs.ask(plain, clients=CLIENTS, seconds=SECONDS)
        taken = streams.result()
    if taken.broken:
        raise CannotMeasure(f"{taken.broken} of {taken.taken} streams broke off")
    return answers


class _Operator:
    """Swaps, by another profile and by an edit of the one that serves, in turn."""

    def __init__(self, gateway: Gateway, *, folder: Path) -> None:
        self._gateway = gateway
        self._folder = folder
        self._orders = [0, 1, 2]
        """That of each profile; no two are alike, or a swap would change nothing."""
        self._serving = 0
        self._changes = 0

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """One swap after the other while the block runs."""
        over = threading.Event()

        def swap() -> None:
            while not over.wait(PAUSE_S):
                self._change(over)

        with ThreadPoolExecutor(max_workers=1) as beside:
            swapping = beside.submit(swap)
            try:
                yield
            finally:
                over.set()
            swapping.result()

    def _change(self, over: threading.Event) -> None:
        self._changes += 1
        if self._changes % 2:
            self._serving = (self._serving + 1) % len(self._orders)
            _asked(self._gateway, "POST", "/admin/v1/swap", {"profile": f"p{self._serving}"})
            return
        before = generation(self._gateway)
        free = [one for one in range(len(gateways.ORDERS)) if one not in self._orders]
        self._orders[self._serving] = free[self._changes % len(free)]
        gateways.write_profile(self._folder, f"p{self._serving}", order=self._orders[self._serving])
        while generation(self._gateway) == before and not over.wait(LOOK_S):
            pass


def generation(gateway: Gateway) -> int:
    number: int = _asked(gateway, "GET", "/admin/v1/status")["generation"]["number"]
    return number


def _asked(gateway: Gateway, method: str, path: str, content: object = None) -> dict[str, dict[str, int]]:
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=WITHIN_S)
    try:
        body = None if content is None else json.dumps(content)
        connection.request(method, path, body=body, headers={"content-type": "application/json"})
        answer = connection.getresponse()
        said: dict[str, dict[str, int]] = json.loads(answer.read())
    finally:
        connection.close()
    if answer.status != 200:
        raise CannotMeasure(f"{path} answered {answer.status}: {said}")
    return said
