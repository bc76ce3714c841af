"""The embedded engine: llama.cpp in child processes, one per model, started when used and gone when the gateway goes."""

import asyncio
import contextlib
import importlib.util
import logging
import os
import sys
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import psutil

from gateway.domain.ports import Clock, Endpoint, GgufFile
from gateway.embedded.files import KNOWN_MODELS, KnownModel
from gateway.embedded.process import ChildProcess, Job
from gateway.embedded.shelf import Shelf
from gateway.errors import EngineUnavailable

DEFAULT_CONTEXT_TOKENS: Final = 8192
ENDINGS_LIMIT: Final = 3
ENDINGS_WINDOW_S: Final = 60.0
_PACKAGE: Final = "xllamacpp"

logger = logging.getLogger(__name__)


class Engine:
    """Serves the configured GGUF files, each through a child process. Implements ``EmbeddedEngine`` and ``GgufShelf``.

    A child starts when ``endpoint`` first asks for its model, and is started anew by the next ``endpoint`` after it died; one
    that ended by itself three times within a minute is left alone until the minute is over. Asked for a larger context than
    the running child has, the engine starts a second one, hands out that from then on, and lets the first finish its
    requests; if the second does not come up, the first stays. A smaller context never restarts anything.

    ``threads`` ``None`` is one fewer than there are processor cores, so that the gateway keeps one; ``parallel`` is how many
    requests a child works on at a time, each with the whole context.

    Belongs to the event loop it is first used in; ``files`` and ``resident`` may be called from any thread. Use it as an async
    context manager, or call ``close``.
    """

    def __init__(
        self,
        *,
        models: Mapping[str, Path | None],
        data_folder: Path,
        clock: Clock,
        provider: str = "embedded",
        parallel: int = 1,
        threads: int | None = None,
        gpu_layers: int = 0,
        load_deadline_s: float = 300.0,
        table: Sequence[KnownModel] = KNOWN_MODELS,
    ) -> None:
        self._shelf = Shelf(provider=provider, models=models, data_folder=data_folder, table=table)
        self._clock = clock
        self._provider = provider
        self._parallel = parallel
        self._threads = threads
        self._gpu_layers = gpu_layers
        self._load_deadline_s = load_deadline_s
        self._serving: dict[str, ChildProcess] = {}
        self._starts: dict[str, asyncio.Task[None]] = {}
        self._children: set[ChildProcess] = set()
        self._watchers: dict[ChildProcess, asyncio.Task[None]] = {}
        self._endings: defaultdict[str, deque[float]] = defaultdict(lambda: deque(maxlen=ENDINGS_LIMIT))
        self._last_words: dict[str, str] = {}
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def endpoint(self, name: str, *, context_tokens: int | None) -> Endpoint:
        """Where ``name`` is served with room for ``context_tokens`` (at most its trained context; ``None`` takes what runs).

        Starts the child if none fits, or joins a start that is under way; a caller that gives up does not stop it for the
        others. Raises ``EngineUnavailable``, ``ModelUnavailable``, and ``UnknownName`` for a name that is not configured.
        """
        while True:
            if self.holds(name, context_tokens=context_tokens):
                return self._serving[name].endpoint
            start = self._starts.get(name)
            if start is None:
                start = self._begin(name, context_tokens=context_tokens)
            await asyncio.shield(start)

    def running(self) -> frozenset[str]:
        """The names served by a child that is up now."""
        return frozenset(name for name, child in tuple(self._serving.items()) if child.alive)

    def holds(self, name: str, *, context_tokens: int | None) -> bool:
        """Is a child up that serves ``name`` with room for ``context_tokens``?"""
        child = self._serving.get(name)
        return child is not None and child.alive and child.holds(context_tokens)

    def files(self) -> Sequence[GgufFile]:
        """Every configured file, present or not; headers are cached by path, size and modification time."""
        return self._shelf.files()

    def resident(self) -> Mapping[str, tuple[int, int | None]]:
        """Names served by a running child → (resident bytes, the mapped weights among them; context in tokens per slot)."""
        found: dict[str, tuple[int, int | None]] = {}
        for name, child in tuple(self._serving.items()):
            if child.alive and child.pid is not None:
                with contextlib.suppress(psutil.Error):
                    found[name] = (psutil.Process(child.pid).memory_info().rss, child.context_tokens)
        return found

    async def stop(self, name: str) -> None:
        """End the children that serve ``name`` or are about to, whatever they are doing. ``endpoint`` may start it again."""
        children = [child for child in self._children if child.name == name]
        starts = [start for started, start in self._starts.items() if started == name]
        await self._end(children, starts)

    async def retire(self, name: str) -> None:
        """Have the child that serves ``name`` leave once its requests are done, and wait until it is gone. One that is about to
        serve comes up first: somebody waits for it. ``endpoint`` starts another meanwhile."""
        if (start := self._starts.get(name)) is not None:
            await asyncio.wait([start])
        child = self._serving.pop(name, None)
        if child is None:
            return
        child.drain()
        if (watcher := self._watchers.get(child)) is not None:
            await asyncio.wait([watcher])

    async def close(self) -> None:
        """End every child, for good: ``endpoint`` raises ``EngineUnavailable`` from now on."""
        self._closed = True
        await self._end([*self._children], [*self._starts.values()])

    async def _end(self, children: Sequence[ChildProcess], starts: Sequence[asyncio.Task[None]]) -> None:
        watchers = [self._watchers[child] for child in children if child in self._watchers]
        await asyncio.gather(*(child.end() for child in children))
        if pending := [*starts, *watchers]:
            await asyncio.wait(pending)

    def _begin(self, name: str, *, context_tokens: int | None) -> asyncio.Task[None]:
        child = ChildProcess(name=name, provider=self._provider)
        self._children.add(child)
        start = asyncio.create_task(self._start(child, context_tokens=context_tokens))
        self._starts[name] = start
        start.add_done_callback(lambda done: self._started(child, done))
        return start

    def _started(self, child: ChildProcess, start: asyncio.Task[None]) -> None:
        self._starts.pop(child.name, None)
        # Looking at the error here keeps asyncio from complaining when every caller has given up meanwhile.
        if start.cancelled() or start.exception() is not None:
            self._children.discard(child)

    async def _start(self, child: ChildProcess, *, context_tokens: int | None) -> None:
        name = child.name
        self._check_open(name)
        file = await asyncio.to_thread(self._shelf.usable, name)
        trained_tokens = trained_context(file.metadata)
        wanted_tokens = context_tokens or DEFAULT_CONTEXT_TOKENS
        job = Job(
            path=Path(file.path),
            context_tokens=wanted_tokens if trained_tokens is None else min(wanted_tokens, trained_tokens),
            trained_tokens=trained_tokens,
            parallel=self._parallel,
            threads=self._threads or spare_cores(),
            gpu_layers=self._gpu_layers,
        )
        try:
            await child.start(job, deadline_s=self._load_deadline_s)
        except EngineUnavailable:
            self._note_ending(child)
            raise
        logger.info("embedded engine: %s is up, context %d tokens, process %d", name, job.context_tokens, child.pid)
        outgrown = self._serving.get(name)
        self._serving[name] = child
        self._watchers[child] = asyncio.create_task(self._watch(child))
        if outgrown is not None:
            outgrown.drain()

    async def _watch(self, child: ChildProcess) -> None:
        await child.wait()
        self._children.discard(child)
        if self._serving.get(child.name) is child:
            del self._serving[child.name]
        if not child.dismissed():
            self._note_ending(child)
            logger.warning("embedded engine: the process for %s ended: %s", child.name, child.last_words())
        self._watchers.pop(child, None)

    def _note_ending(self, child: ChildProcess) -> None:
        if not child.dismissed():
            self._endings[child.name].append(self._clock.monotonic())
            self._last_words[child.name] = child.last_words()

    def _check_open(self, name: str) -> None:
        """Raise ``EngineUnavailable`` when there is no point in starting a process for ``name`` now."""
        if self._closed:
            raise EngineUnavailable("the embedded engine has been closed", provider=self._provider)
        if importlib.util.find_spec(_PACKAGE) is None:
            raise EngineUnavailable(
                "the embedded engine needs the xllamacpp package",
                provider=self._provider,
                hint="pip install 'rolegate[embedded]'",
            )
        rest_s = rest_before_restart(self._endings[name], now_s=self._clock.monotonic())
        if rest_s > 0:
            raise EngineUnavailable(
                f'the embedded engine cannot serve "{name}": its process ended {ENDINGS_LIMIT} times within '
                f"{ENDINGS_WINDOW_S:g} s; its last words: {self._last_words[name]}",
                provider=self._provider,
                hint=f"it may be started again in {rest_s:.0f} s; a smaller context or a smaller model takes less memory",
            )


def rest_before_restart(endings_s: Sequence[float], *, now_s: float) -> float:
    """Seconds to leave a model alone whose processes ended by themselves at ``endings_s``, oldest first; 0 for none."""
    if len(endings_s) < ENDINGS_LIMIT:
        return 0.0
    return max(0.0, endings_s[-ENDINGS_LIMIT] + ENDINGS_WINDOW_S - now_s)


def spare_cores() -> int:
    """The processor cores this process may use, less one, at least one."""
    cores = psutil.cpu_count(logical=False) or psutil.cpu_count() or 1
    if sys.platform == "linux":
        cores = min(cores, len(os.sched_getaffinity(0)))
    return max(1, cores - 1)


def trained_context(metadata: Mapping[str, object]) -> int | None:
    """The context length a GGUF says its model was trained with, in tokens."""
    length = metadata.get(f"{metadata.get('general.architecture')}.context_length")
    return length if isinstance(length, int) and length > 0 else None
