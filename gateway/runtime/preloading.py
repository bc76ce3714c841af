"""Models on their way into memory ahead of the requests for them."""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence

from gateway.errors import RolegateError
from gateway.runtime.effects import Loads
from gateway.runtime.residency import Preload

_log = logging.getLogger(__name__)


class Preloading:
    """Loads what is wanted, one after the other. A load under way that is wanted still is not begun anew."""

    def __init__(self, *, load: Loads) -> None:
        self._load = load
        self._waiting: deque[Preload] = deque()
        self._now: Preload | None = None
        self._task: asyncio.Task[None] | None = None

    def want(self, preloads: Sequence[Preload]) -> "asyncio.Task[None] | None":
        """Load these, and nothing else, from now on. What ends when all of them are loaded; ``None`` where that is so."""
        under_way = self._now.load if self._now is not None else None
        self._waiting = deque(one for one in preloads if one.load != under_way)
        if under_way is not None and len(self._waiting) < len(preloads):
            return self._task
        if self._task is not None:
            self._task.cancel()
        self._now = None
        self._task = asyncio.create_task(self._run()) if preloads else None
        return self._task

    async def _run(self) -> None:
        while self._waiting:
            self._now = self._waiting.popleft()
            await self._bring(self._now)
        self._now = self._task = None

    async def _bring(self, one: Preload) -> None:
        facts = {"model": str(one.model.ref), "context_tokens": one.context_tokens}
        try:
            await self._load(
                one.model,
                provider=one.provider,
                context_tokens=one.context_tokens,
                keep_alive=one.keep_alive,
                within_s=one.within_s,
            )
        except RolegateError as error:
            _log.warning("a model could not be preloaded", extra={**facts, "reason": str(error)})
        except Exception:  # noqa: BLE001  (whatever one load met, the next one has to come)
            _log.exception("a model could not be preloaded", extra=facts)
        else:
            _log.info("a model is preloaded", extra=facts)

    async def close(self) -> None:
        """Give up what is under way."""
        task = self._task
        self.want(())
        if task is not None:
            await asyncio.gather(task, return_exceptions=True)
