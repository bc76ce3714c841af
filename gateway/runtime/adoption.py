"""From a draft to the live generation: rendered, built, tried, and only then the pointer moves."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence

from gateway.domain.model import Lane
from gateway.domain.plan import Plan
from gateway.domain.ports import Clock, CompletionBackend, Discovery, ResourceProbe
from gateway.runtime.canary import try_out
from gateway.runtime.departures import Departures
from gateway.runtime.draft import Draft, changed_deployments
from gateway.runtime.effects import Effects
from gateway.runtime.generation import Generation
from gateway.runtime.preloading import Preloading
from gateway.runtime.residency import Preload, Use, to_preload
from gateway.runtime.swap import Switchboard
from gateway.runtime.turns import Turns


class Adoption:
    """Makes drafts live, one at a time. Until the pointer has moved nothing is changed that anybody uses, and what was made for a
    draft that fails is given back. ``turns`` are those that swaps take: whoever waits for the next one does not wait for models
    that are loaded ahead."""

    def __init__(
        self,
        *,
        switchboard: Switchboard,
        effects: Effects,
        probe: ResourceProbe,
        clock: Clock,
        turns: Turns,
        hot_swap: bool,
    ) -> None:
        self._switchboard = switchboard
        self._effects = effects
        self._probe = probe
        self._clock = clock
        self._turns = turns
        self._residency = hot_swap
        self._number = 0
        self._after: set[asyncio.Task[None]] = set()
        self._preloading = Preloading(load=effects.load)
        self._departures = Departures(unload=effects.unload, serving=self._uses, latest=self._latest)
        self._live: Draft | None = None

    @property
    def number(self) -> int:
        """That of the live generation; 0 before the first."""
        return self._number

    async def adopt(
        self,
        draft: Draft,
        *,
        cause: str,
        before: Draft | None,
        persist: Callable[[], None] | None = None,
        hurried: bool = False,
    ) -> Generation:
        """Make ``draft`` live in place of ``before``. ``persist`` is the last that may fail; it blocks. One that is ``hurried``
        waits for no model to be loaded. Raises ``RolegateError``, and the old generation serves on."""
        old = self._switchboard.live if self._switchboard.started else None
        try:
            with self._departures.held_up():
                generation = await self._make_live(draft, cause=cause, before=before, persist=persist, hurried=hurried)
        finally:
            if self._departures.waiting:
                self._begin(self._departures.settle())
        if old is not None and before is not None and self._residency:
            self._settle(draft, old=old)
        return generation

    async def _make_live(
        self, draft: Draft, *, cause: str, before: Draft | None, persist: Callable[[], None] | None, hurried: bool
    ) -> Generation:
        plan = draft.selection.plan
        rendered = await asyncio.to_thread(self._effects.render, plan, draft.discovery)
        backend = await asyncio.to_thread(self._effects.build_backend, rendered) if needs_litellm(plan) else None
        try:
            generation = self._generation(draft, cause=cause, rendered=rendered, backend=backend)
            await self._examine(generation, draft=draft, before=before, hurried=hurried)
            if persist is not None:
                await asyncio.to_thread(persist)
            await asyncio.to_thread(self._effects.keep, rendered)
        except BaseException:
            if draft.configuration.policy.preload == "before":
                self._preloading.want(())
            if backend is not None:
                await backend.close()
            raise
        self._effects.adopted(draft.configuration)
        self._number, self._live = generation.number, draft
        self._switchboard.install(generation)
        return generation

    def took_its_place(self, draft: Draft) -> None:
        """``draft`` is live from now on as the generation that is."""
        self._live = draft

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

    async def _examine(self, generation: Generation, *, draft: Draft, before: Draft | None, hurried: bool) -> None:
        """What a swap does and a start does not: preload ahead, and try what is new."""
        if before is None or not self._residency:
            return
        policy = draft.configuration.policy
        if policy.preload == "before":
            loading = self._preloading.want(self._preloads(draft))
            if loading is not None and not hurried:
                await self._turns.unless_awaited(loading)
        await try_out(
            changed_deployments(before, draft),
            how=policy.canary,
            generation=generation,
            latest=lambda: draft.registry.last,
            generate=self._effects.generate,
        )

    def _settle(self, draft: Draft, *, old: Generation) -> None:
        """What may follow the swap in its own time."""
        policy = draft.configuration.policy
        if policy.preload != "before":
            self._preloading.want(self._preloads(draft) if policy.preload == "after" else ())
        if policy.unload == "after_idle":
            self._begin(self._leave(old))

    async def _leave(self, old: Generation) -> None:
        await old.discarded.wait()
        await self._departures.leave(_use(old))

    def _preloads(self, draft: Draft) -> Sequence[Preload]:
        return to_preload(
            draft.selection.plan,
            serving=[use.plan for use in self._uses()],
            discovery=draft.registry.last or draft.discovery,
            resources=draft.resources,
            policy=draft.configuration.policy,
        )

    def _uses(self) -> Sequence[Use]:
        """What requests go by: the live generation, and older ones that still have some."""
        return [_use(one) for one in (self._switchboard.live, *self._switchboard.draining)]

    def _latest(self) -> Discovery:
        """What the last look of the live configuration's registry found."""
        known = self._live.registry.last if self._live is not None else None
        return known or self._switchboard.live.discovery

    def _begin(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._after.add(task)
        task.add_done_callback(self._after.discard)

    async def close(self) -> None:
        """End what follows the last swap."""
        tasks = tuple(self._after)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, self._preloading.close(), return_exceptions=True)


def _use(generation: Generation) -> Use:
    return Use(plan=generation.selection.plan, discovery=generation.discovery)


def needs_litellm(plan: Plan) -> bool:
    """LiteLLM is imported only for a plan with a deployment on its lane: the import is slow and stalls the loop."""
    return any(one.lane is Lane.LITELLM for role in plan.roles.values() for one in role.deployments)
