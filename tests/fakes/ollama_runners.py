"""Which models the fake has loaded: serial loads, reloads, eviction, keep-alive."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from fakes.ollama_models import FakeModel
from fakes.serving import WireError

DEFAULT_KEEP_ALIVE_S = 300.0
FOREVER_S = 292 * 365 * 86_400


@dataclass(slots=True, kw_only=True, eq=False)
class Load:
    """One load that was begun. ``outcome``: ``loading``, ``loaded``, ``aborted`` (the client left) or ``failed``."""

    model: str
    num_ctx: int
    options: Mapping[str, Any]
    reload: bool
    outcome: str = "loading"


@dataclass(slots=True, kw_only=True, eq=False)
class Loaded:
    """One runner. ``options`` are its load-time options, ``automatic`` those nobody asked for."""

    model: FakeModel
    options: Mapping[str, Any]
    automatic: frozenset[str]
    shift: bool
    slots: asyncio.Semaphore
    keep_alive_s: float = DEFAULT_KEEP_ALIVE_S
    users: int = 0
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    expires_at: float = 0.0
    timer: asyncio.TimerHandle | None = None

    @property
    def num_ctx(self) -> int:
        return int(self.options["num_ctx"])


@dataclass(slots=True, kw_only=True)
class HostProfile:
    """The knobs of a host.

    ``load_s``: how long a load takes, ``unload_s`` an unload that was asked for; ``num_parallel``: slots per runner;
    ``max_loaded``: runners at once; ``max_queue``: loads waiting; ``default_num_ctx``: the tier of the server's memory;
    ``context_length_env``: OLLAMA_CONTEXT_LENGTH; ``gpu``: the share of a runner's memory on a GPU, 0 to 1.
    """

    load_s: float = 0.0
    unload_s: float = 0.0
    num_parallel: int = 1
    max_loaded: int = 3
    max_queue: int = 512
    default_num_ctx: int = 4096
    context_length_env: int | None = None
    gpu: float = 0.0


@dataclass(slots=True, kw_only=True)
class Runners:
    """The scheduler. ``gate`` is set; clear it to hold every load until it is set again. ``load_errors`` maps a model's name
    to the message its loads fail with."""

    host: HostProfile
    changed: Callable[[], None]
    by_blob: dict[str, Loaded] = field(default_factory=dict)
    loads: list[Load] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    load_errors: dict[str, str] = field(default_factory=dict)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _queued: int = 0

    def __post_init__(self) -> None:
        self.gate.set()

    @asynccontextmanager
    async def use(
        self, model: FakeModel, *, options: Mapping[str, Any], keep_alive_s: float | None, shift: bool | None
    ) -> AsyncIterator[Loaded]:
        """The runner of ``model``, loaded or reloaded as the options ask, with one of its slots."""
        wanted, automatic = self.resolve(model, options)
        runner = self.by_blob.get(model.blob)
        if runner is None or needs_reload(runner, wanted, automatic, shift=shift):
            runner = await self._load(model, wanted, automatic, shift=shift)
        if keep_alive_s is not None:
            runner.keep_alive_s = keep_alive_s
        runner.users += 1
        runner.idle.clear()
        self._cancel_timer(runner)
        try:
            async with runner.slots:
                yield runner
        finally:
            runner.users -= 1
            if runner.users == 0:
                runner.idle.set()
            self._restart_timer(runner)
            self.changed()

    def resolve(self, model: FakeModel, options: Mapping[str, Any]) -> tuple[dict[str, Any], frozenset[str]]:
        """The load-time options as they will be used, and the names of those that were left to the server."""
        asked = {**model.parameters, **options}
        automatic = set()
        num_ctx = asked.get("num_ctx")
        if num_ctx is None:
            num_ctx = self.host.context_length_env or self.host.default_num_ctx
            if self.host.context_length_env is None:
                automatic.add("num_ctx")
        num_ctx = max(int(num_ctx), 2048 if "vision" in model.capabilities else 4)
        if model.context_length:
            num_ctx = min(num_ctx, model.context_length)
        num_batch = asked.get("num_batch")
        if num_batch is None:
            automatic.add("num_batch")
            num_batch = min(2048, num_ctx) if "embedding" in model.capabilities else 512
        wanted = {"num_ctx": num_ctx, "num_batch": num_batch}
        for name, default in (("num_gpu", -1), ("main_gpu", 0), ("num_thread", 0), ("use_mmap", None)):
            wanted[name] = asked.get(name, default)
        wanted["draft_num_predict"] = asked.get("draft_num_predict", 0)
        return wanted, frozenset(automatic)

    def unload(self, model: FakeModel) -> None:
        """What ``keep_alive: 0`` without a prompt does: unload as soon as the runner is idle, and later than the answer."""
        runner = self.by_blob.get(model.blob)
        if runner is None:
            return
        runner.keep_alive_s = 0
        if runner.users == 0:
            self._cancel_timer(runner)
            runner.expires_at = time.time()
            runner.timer = asyncio.get_running_loop().call_later(self.host.unload_s, self._drop, runner)

    def close(self) -> None:
        for runner in list(self.by_blob.values()):
            self._drop(runner)

    async def _load(
        self, model: FakeModel, wanted: dict[str, Any], automatic: frozenset[str], *, shift: bool | None
    ) -> Loaded:
        if self._queued >= self.host.max_queue:
            raise WireError(503, "server busy, please try again.  maximum pending requests exceeded")
        self._queued += 1
        try:
            async with self._turn:
                runner = self.by_blob.get(model.blob)
                if runner is not None and not needs_reload(runner, wanted, automatic, shift=shift):
                    return runner
                load = Load(model=model.name, num_ctx=wanted["num_ctx"], options=wanted, reload=runner is not None)
                if runner is not None:
                    await self._drain(runner)
                while len(self.by_blob) >= self.host.max_loaded:
                    await self._drain(self._victim())
                return await self._start(model, load, automatic, shift=shift)
        finally:
            self._queued -= 1

    async def _start(self, model: FakeModel, load: Load, automatic: frozenset[str], *, shift: bool | None) -> Loaded:
        self.loads.append(load)
        self.changed()
        try:
            await asyncio.sleep(self.host.load_s)
            await self.gate.wait()
        except asyncio.CancelledError:
            load.outcome = "aborted"
            self.changed()
            raise
        if model.name in self.load_errors:
            load.outcome = "failed"
            self.changed()
            raise WireError(500, self.load_errors[model.name])
        load.outcome = "loaded"
        runner = Loaded(
            model=model,
            options=load.options,
            automatic=automatic,
            shift=shift is not False,
            slots=asyncio.Semaphore(1 if "embedding" in model.capabilities else self.host.num_parallel),
        )
        runner.idle.set()
        self.by_blob[model.blob] = runner
        self._restart_timer(runner)
        self.changed()
        return runner

    def _victim(self) -> Loaded:
        return min(
            self.by_blob.values(), key=lambda one: (one.users > 0, min(one.keep_alive_s, math.inf), one.model.blob)
        )

    async def _drain(self, runner: Loaded) -> None:
        runner.keep_alive_s = 0
        await runner.idle.wait()
        self._drop(runner)

    def _drop(self, runner: Loaded) -> None:
        self._cancel_timer(runner)
        if self.by_blob.get(runner.model.blob) is runner:
            del self.by_blob[runner.model.blob]
        self.changed()

    def _cancel_timer(self, runner: Loaded) -> None:
        if runner.timer is not None:
            runner.timer.cancel()
            runner.timer = None

    def _restart_timer(self, runner: Loaded) -> None:
        self._cancel_timer(runner)
        runner.expires_at = time.time() + min(runner.keep_alive_s, FOREVER_S)
        if runner.users or runner.keep_alive_s == math.inf:
            return
        if runner.keep_alive_s == 0:
            self._drop(runner)
        else:
            runner.timer = asyncio.get_running_loop().call_later(runner.keep_alive_s, self._drop, runner)


def needs_reload(runner: Loaded, wanted: Mapping[str, Any], automatic: frozenset[str], *, shift: bool | None) -> bool:
    """Whether a request with these load-time options cannot be served by ``runner``."""
    if runner.shift != (shift is not False):
        return True
    for name, value in wanted.items():
        if name in automatic and name in runner.automatic:
            continue
        if name == "num_gpu" and value == -1:
            continue
        if name == "use_mmap" and value is None:
            continue
        if runner.options[name] != value:
            return True
    return False
