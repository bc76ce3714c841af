"""From a draft to the live generation: rendered, built, tried, and only then the pointer moves."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence

from gateway.domain.model import Lane, Model
from gateway.domain.plan import Plan
from gateway.domain.ports import Clock, CompletionBackend, Discovery, ResourceProbe
from gateway.errors import RolegateError
from gateway.runtime.canary import try_out
from gateway.runtime.draft import Draft, changed_deployments
from gateway.runtime.effects import Effects
from gateway.runtime.generation import Generation
from gateway.runtime.residency import Preload, to_preload, to_unload
from gateway.runtime.swap import Switchboard

_log = logging.getLogger(__name__)


class Adoption:
    """Makes drafts live, one at a time. Until the pointer has moved nothing is changed that anybody uses, and what was made for a
    draft that fails is given back."""

    def __init__(
        self, *, switchboard: Switchboard, effects: Effects, probe: ResourceProbe, clock: Clock, hot_swap: bool
    ) -> None:
        self._switchboard = switchboard
        self._effects = effects
        self._probe = probe
        self._clock = clock
        self._residency = hot_swap
        self._number = 0
        self._after: set[asyncio.Task[None]] = set()
        self._preloading: asyncio.Task[None] | None = None

    @property
    def number(self) -> int:
        """That of the live generation; 0 before the first."""
        return self._number

    async def adopt(
        self, draft: Draft, *, cause: str, before: Draft | None, persist: Callable[[], None] | None = None
    ) -> Generation:
        """Make ``draft`` live in place of ``before``. ``persist`` is the last that may fail; it blocks. Raises
        ``RolegateError``, and the old generation serves on."""
        plan = draft.selection.plan
        rendered = await asyncio.to_thread(self._effects.render, plan, draft.discovery)
        backend = await asyncio.to_thread(self._effects.build_backend, rendered) if needs_litellm(plan) else None
        try:
            generation = self._generation(draft, cause=cause, rendered=rendered, backend=backend)
            await self._examine(generation, draft=draft, before=before)
            if persist is not None:
                await asyncio.to_thread(persist)
            await asyncio.to_thread(self._effects.keep, rendered)
        except BaseException:
            if backend is not None:
                await backend.close()
            raise
        self._effects.adopted(draft.configuration)
        old = self._switchboard.live if self._switchboard.started else None
        self._number = generation.number
        self._switchboard.install(generation)
        if old is not None and before is not None:
            self._settle(draft, old=old)
        return generation

    def _generation(
        self, draft: Draft, *, cause: str, rendered: Mapping[str, object], backend: CompletionBackend | None
    ) -> Generation:
        return Generation(
            number=self._number + 1,
            cause=cause,
            created_s=self._clock.time(),
            selection=draft.selection,
            discovery=draft.discovery,
            sample=self._probe.sample,
            policy=draft.configuration.policy,
            router_config=rendered,
            backend=backend,
            expose_models=draft.configuration.gateway.expose_models,
        )

    async def _examine(self, generation: Generation, *, draft: Draft, before: Draft | None) -> None:
        """What a swap does and a start does not: preload ahead, and try what is new."""
        if before is None or not self._residency:
            return
        policy = draft.configuration.policy
        if policy.preload == "before":
            await self._preload(_preloads(draft, serving=self._serving()))
        await try_out(
            changed_deployments(before, draft),
            how=policy.canary,
            generation=generation,
            latest=lambda: draft.registry.last,
            generate=self._effects.generate,
        )

    def _settle(self, draft: Draft, *, old: Generation) -> None:
        """What may follow the swap in its own time. What an earlier one had still to preload is of no use any more."""
        if not self._residency:
            return
        if self._preloading is not None:
            self._preloading.cancel()
        policy = draft.configuration.policy
        if policy.preload == "after":
            preloads = _preloads(draft, serving=self._serving())
            self._preloading = self._begin(self._preload(preloads)) if preloads else None
        if policy.unload == "after_idle":
            self._begin(self._unload(old, latest=lambda: draft.registry.last or draft.discovery))

    def _serving(self) -> tuple[Plan, ...]:
        """The plans that requests go by: that of the live generation, and those of older ones that still have some."""
        switchboard = self._switchboard
        return tuple(one.selection.plan for one in (switchboard.live, *switchboard.draining))

    def _begin(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._after.add(task)
        task.add_done_callback(self._after.discard)
        return task

    async def _preload(self, preloads: Sequence[Preload]) -> None:
        for one in preloads:
            facts = {"model": str(one.model.ref), "context_tokens": one.context_tokens}
            try:
                await self._effects.load(
                    one.model, context_tokens=one.context_tokens, keep_alive=one.keep_alive, within_s=one.within_s
                )
            except RolegateError as error:
                _log.warning("a model could not be preloaded", extra={**facts, "reason": str(error)})
            else:
                _log.info("a model is preloaded", extra=facts)

    async def _unload(self, old: Generation, *, latest: Callable[[], Discovery]) -> None:
        await old.discarded.wait()
        for model in to_unload(old.selection.plan, serving=self._serving(), discovery=latest()):
            await self._let_go(model)

    async def _let_go(self, model: Model) -> None:
        try:
            await self._effects.unload(model)
        except RolegateError as error:
            _log.warning("a model could not be unloaded", extra={"model": str(model.ref), "reason": str(error)})
        else:
            _log.info("a model that no role needs is unloaded", extra={"model": str(model.ref)})

    async def close(self) -> None:
        """End what follows the last swap."""
        tasks = tuple(self._after)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def needs_litellm(plan: Plan) -> bool:
    """LiteLLM is imported only for a plan with a deployment on its lane: the import is slow and stalls the loop."""
    return any(one.lane is Lane.LITELLM for role in plan.roles.values() for one in role.deployments)


def _preloads(draft: Draft, *, serving: Sequence[Plan]) -> tuple[Preload, ...]:
    return to_preload(
        draft.selection.plan,
        serving=serving,
        discovery=draft.registry.last or draft.discovery,
        resources=draft.resources,
        policy=draft.configuration.policy,
    )
