"""One generation after the other: every attempt at a new one ends in a swap or in a told reason, and is remembered."""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from gateway.config.settings import Configuration
from gateway.domain.generation_record import GenerationRecord, Outcome
from gateway.domain.ports import Clock, GenerationLog
from gateway.errors import GatewayStarting, RolegateError
from gateway.runtime.adoption import Adoption, needs_litellm
from gateway.runtime.canary import Vetoed
from gateway.runtime.draft import Draft, changed_roles, drafted
from gateway.runtime.effects import Effects
from gateway.runtime.pending import says_the_same
from gateway.runtime.swap import Swap, Switchboard

_log = logging.getLogger(__name__)

REMEMBERED: Final = 10
"""How many attempts are at hand without asking the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """A configuration that served, and the generation that another one made of it: ``generation 3 (profile deep)``."""

    configuration: Configuration
    left_with: str


class Succession:
    """Owns what is live, and the configuration to go back to. One attempt at a time."""

    def __init__(
        self,
        *,
        adoption: Adoption,
        switchboard: Switchboard,
        effects: Effects,
        clock: Clock,
        log: GenerationLog | None,
        follows: bool,
    ) -> None:
        self._adoption = adoption
        self._switchboard = switchboard
        self._effects = effects
        self._clock = clock
        self._record_in = log
        self._follows = follows
        self._live: Draft | None = None
        self._recent: deque[GenerationRecord] = deque(maxlen=REMEMBERED)
        self.outcomes: Counter[Outcome] = Counter()
        """How many attempts of this process ended in which way."""
        self._told = ""
        self.under_way = ""
        """The cause of the attempt that is being made; empty while none is."""
        self.before: Earlier | None = None
        """What served before the last edit that made a difference, to go back to."""

    @property
    def live(self) -> Draft:
        """Raises ``GatewayStarting``."""
        if self._live is None:
            raise GatewayStarting
        return self._live

    @property
    def started(self) -> bool:
        return self._live is not None

    @property
    def recent(self) -> tuple[GenerationRecord, ...]:
        """The last attempts, the newest first."""
        return tuple(reversed(self._recent))

    async def attempt(
        self,
        make: Callable[[], Awaitable[Draft]],
        *,
        cause: str,
        persist: Callable[[], None] | None = None,
        hurried: bool = False,
    ) -> Swap:
        """Make a draft and take it up. ``persist`` makes it last, before the pointer moves; ``hurried``, no model is waited for.
        Raises whatever keeps it from going live; the log and the records have it then, once for as long as nothing else
        happens."""
        self.under_way = cause
        try:
            return await self._attempt(make, cause=cause, persist=persist, hurried=hurried)
        finally:
            self.under_way = ""

    async def _attempt(
        self,
        make: Callable[[], Awaitable[Draft]],
        *,
        cause: str,
        persist: Callable[[], None] | None,
        hurried: bool,
    ) -> Swap:
        begun_s, started_s = self._clock.monotonic(), self._clock.time()
        draft: Draft | None = None

        def record(outcome: Outcome, *, changed: tuple[str, ...], error: str = "") -> GenerationRecord:
            configuration = draft.configuration if draft else self._live.configuration if self._live else None
            return GenerationRecord(
                number=self._adoption.number,
                cause=cause,
                profile=configuration.profile if configuration else None,
                digest=draft.digest if draft else "",
                changed_roles=changed,
                started_s=started_s,
                ms=(self._clock.monotonic() - begun_s) * 1000,
                outcome=outcome,
                error=error,
            )

        try:
            draft = await make()
            changed = changed_roles(self._live, draft)
            swapped = await self._take_up(draft, cause=cause, persist=persist, hurried=hurried)
        except Exception as error:
            outcome = Outcome.VETOED if isinstance(error, Vetoed) else Outcome.FAILED
            changed = changed_roles(self._live, draft) if draft else ()
            await self._failed(error, record(outcome, changed=changed, error=said(error)))
            raise
        self._told = ""
        done = record(Outcome.ADOPTED, changed=changed if swapped else ())
        if swapped:
            await self._remember(done)
            _log.info(
                "plan is live",
                extra={
                    "generation": done.number,
                    "cause": cause,
                    "digest": done.digest[:12],
                    "changed": ", ".join(changed) or "no role",
                    "ms": round(done.ms),
                },
            )
        return Swap(
            generation=done.number, digest=done.digest, changed_roles=done.changed_roles, ms=done.ms, swapped=swapped
        )

    async def _take_up(self, draft: Draft, *, cause: str, persist: Callable[[], None] | None, hurried: bool) -> bool:
        """Make it live, unless what is live serves like it; whether that moved the pointer."""
        before = self._live
        if before is not None and draft.serves_like(before):
            rendered = await self._rendered_anew(draft, before=before)
            if rendered is None or not needs_litellm(draft.selection.plan):
                await self._take_the_place(draft, rendered=rendered, persist=persist)
                return False
        earlier = await asyncio.to_thread(_to_go_back_to, before, draft) if before is not None else None
        generation = await self._adoption.adopt(draft, cause=cause, before=before, persist=persist, hurried=hurried)
        if earlier is not None:
            self.before = Earlier(configuration=earlier, left_with=f"generation {generation.number} ({cause})")
        self._live = draft
        return True

    async def _take_the_place(
        self, draft: Draft, *, rendered: Mapping[str, object] | None, persist: Callable[[], None] | None
    ) -> None:
        """What is live serves like it, and does so from now on in its name."""
        if persist is not None:
            await asyncio.to_thread(persist)
        if rendered is not None:
            await asyncio.to_thread(self._effects.keep, rendered)
            self._switchboard.live.router_config = rendered
        self._effects.adopted(draft.configuration)
        if self._follows:
            self._switchboard.live.see(draft.discovery, policy=draft.configuration.policy)
        self._adoption.took_its_place(draft)
        self._live = draft

    async def _rendered_anew(self, draft: Draft, *, before: Draft) -> Mapping[str, object] | None:
        """The router config, where what was read again has it otherwise: its templates are files too."""
        if draft.configuration is before.configuration:
            return None
        rendered = await asyncio.to_thread(self._effects.render, draft.selection.plan, draft.discovery)
        return None if rendered == self._switchboard.live.router_config else rendered

    async def _failed(self, error: Exception, record: GenerationRecord) -> None:
        if record.error == self._told:
            return
        self._told = record.error
        facts = {"cause": record.cause, "reason": record.error}
        if self._live is not None:  # else whoever starts the gateway tells why it does not
            surprise = None if isinstance(error, RolegateError) else error
            _log.error("the new plan was not adopted", extra=facts, exc_info=surprise)
        await self._remember(record)

    async def _remember(self, record: GenerationRecord) -> None:
        self._recent.append(record)
        self.outcomes[record.outcome] += 1
        if self._record_in is not None:
            await asyncio.to_thread(self._record_in.record, record)

    async def close(self) -> None:
        await self._adoption.close()


def said(error: Exception) -> str:
    """An error in words, the name of its kind where it has none."""
    return str(error) or type(error).__name__


def _to_go_back_to(before: Draft, now: Draft) -> Configuration | None:
    """The configuration of ``before``, if it is for another one that ``now`` serves differently, and not for what was found
    meanwhile. Pure, and as slow as a selection."""
    old, new = before.configuration, now.configuration
    if says_the_same(old, new):
        return None
    if (old.providers, old.declared, old.cloud_models) == (new.providers, new.declared, new.cloud_models):
        same_world = drafted(configuration=old, registry=now.registry, discovery=now.discovery, resources=now.resources)
        if same_world.serves_like(now):
            return None
    return old
