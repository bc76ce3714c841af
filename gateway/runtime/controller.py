"""Reconciles facts and settings to a live plan: discover, select, stop if nothing changed, render, build, move the pointer."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Final

from gateway.config.settings import Configuration
from gateway.domain.generation_record import GenerationRecord, Outcome
from gateway.domain.plan import Deployment
from gateway.domain.ports import Clock, Discovery, GenerationLog, ResourceProbe
from gateway.errors import BadRequest, HotSwapDisabled, RolegateError, UnknownName, UpstreamFailed
from gateway.registry.registry import Registry
from gateway.relay.needs import Needs
from gateway.runtime.adoption import Adoption
from gateway.runtime.clashes import check_names
from gateway.runtime.draft import Draft, drafted, news
from gateway.runtime.edits import Edits
from gateway.runtime.effects import Effects
from gateway.runtime.generation import Generation
from gateway.runtime.learning import Learning
from gateway.runtime.lookout import Lookout
from gateway.runtime.pending import Pending
from gateway.runtime.succession import Succession, said
from gateway.runtime.swap import Swap, Switchboard
from gateway.runtime.turns import Turns

_log = logging.getLogger(__name__)

REFRESH_S: Final = 30.0
"""How often the registry looks again."""
AWAIT_S: Final = 3.0
"""How often it looks again while a provider is awaited that did not answer, or is doubted that does not any more."""
PAUSE_S: Final = 1.0
"""The least time between two looks, whatever asks for them but news."""
ASKED: Final = "asked to reload"
"""The cause of a reload that finds no file changed: something else may have."""


class Controller:
    """Owns the way from facts to the live generation. One reconcile at a time; a failed one leaves the old state serving.

    With hot-swap on, edits of the configuration, requests to swap, models and hosts that come and go, and lasting changes of the
    machine all lead to the same reconcile. With hot-swap off, selection belongs to the start, and edits are only looked at.
    Either way what is said in ``restart_settings`` holds from the start of the process to its end: the address, limits of the
    server, logging, hot-swap itself, and the models of the embedded engine.
    """

    def __init__(
        self,
        *,
        configuration: Configuration,
        registry: Registry,
        probe: ResourceProbe,
        switchboard: Switchboard,
        effects: Effects,
        clock: Clock,
        log: GenerationLog | None = None,
        refresh_s: float = REFRESH_S,
        await_s: float = AWAIT_S,
    ) -> None:
        self.hot_swap = configuration.gateway.hot_swap
        self._refresh_s = refresh_s
        self._await_s = await_s
        self._begun_with = configuration
        self._registry = registry
        self._probe = probe
        self._switchboard = switchboard
        self._effects = effects
        self._learning = Learning(registry.corrections)
        self._lookout = Lookout(probe=probe, clock=clock, seen=effects.seen, steadies=self.hot_swap)
        self._turns = Turns()
        adoption = Adoption(
            switchboard=switchboard,
            effects=effects,
            probe=probe,
            clock=clock,
            turns=self._turns,
            hot_swap=self.hot_swap,
        )
        self._succession = Succession(
            adoption=adoption,
            switchboard=switchboard,
            effects=effects,
            clock=clock,
            log=log,
            follows=self.hot_swap,
        )
        self._wake = asyncio.Event()
        self._news = asyncio.Event()
        self._edits = Edits(begun_with=configuration, hot_swap=self.hot_swap)
        self._look_error = ""
        self._watch_error = ""

    @property
    def configuration(self) -> Configuration:
        """The one that is live; before the first plan, the one that is to be."""
        return self._succession.live.configuration if self._succession.started else self._begun_with

    @property
    def registry(self) -> Registry:
        """The one that the live plan was made from."""
        return self._succession.live.registry if self._succession.started else self._registry

    @property
    def awaited(self) -> frozenset[str]:
        """The providers that did not answer when the configuration was taken up, and have not since."""
        return self._lookout.awaited

    @property
    def last_error(self) -> str:
        """Why the last edit, swap or look came to nothing, or edits go unnoticed; empty when none of it is so."""
        return self._edits.error or self._watch_error or self._look_error

    @property
    def pending(self) -> Pending | None:
        """What the files ask for and is not done; ``None`` when all of it is."""
        return self._edits.pending

    @property
    def under_way(self) -> str:
        """Why a new plan is being made right now; empty while none is."""
        return self._succession.under_way

    @property
    def recent(self) -> tuple[GenerationRecord, ...]:
        """The last attempts at a generation of this process, the newest first."""
        return self._succession.recent

    @property
    def outcomes(self) -> Mapping[Outcome, int]:
        """How many attempts at a generation this process has made, by what became of them."""
        return self._succession.outcomes

    def providers(self) -> list[dict[str, object]]:
        """Every provider as discovery last saw it."""
        discovery = self.registry.last
        if discovery is None:
            return []
        counts = Counter(model.ref.provider for model in discovery.models)
        return [
            {
                "name": state.provider.name,
                "kind": state.provider.kind.value,
                "up": state.up,
                "has_key": state.provider.has_key if state.provider.cloud else None,
                "error": state.error,
                "version": state.version,
                "models": counts[state.provider.name],
            }
            for state in discovery.providers
        ]

    async def start(self) -> Generation:
        """Make the first plan live, and note which providers are still awaited."""
        return await self._turns.take(self._start)

    async def _start(self) -> Generation:
        try:
            await self._succession.attempt(lambda: self._draft_of(self._begun_with), cause="start")
        except RolegateError as error:
            self._look_error = str(error)
            raise
        self._lookout.expect(self._succession.live.discovery)
        return self._switchboard.live

    async def reload(self, *, cause: str = "") -> Swap:
        """Take up the configuration as it is on disk. Where no cause is given it is the change that is found there, if any.

        Raises ``HotSwapDisabled``, ``ConfigInvalid``, or whatever else keeps the new plan from going live; the old one serves on
        then.
        """
        self._require_hot_swap()

        async def work() -> Swap:
            self._succession.live  # noqa: B018  (raises before the first plan, and nothing may be taken for noticed then)
            return await self._reread(None, cause=cause)

        return await self._turns.take(work)

    async def swap(self, profile: str | None) -> Swap:
        """Take up ``profile`` (``None``: no profile), and make it the active one on disk, in one: should it fail, neither has
        happened. Raises as ``reload`` does, and ``UnknownName`` for a profile that does not exist."""
        self._require_hot_swap()
        cause = "no profile" if profile is None else f"profile {profile}"
        persist = self._persisting(profile)
        return await self._turns.take(lambda: self._reread(profile or "", cause=cause, persist=persist))

    async def rollback(self) -> Swap:
        """Go back to the configuration before the last one that made a difference, until the next edit; its profile becomes the
        active one on disk. Going back once more is going forth again. Raises as ``reload`` does, and ``BadRequest`` when there
        is nothing to go back to."""
        self._require_hot_swap()
        return await self._turns.take(self._roll_back)

    async def edited(self, *, cause: str) -> None:
        """Files of the configuration have changed. Never raises: whoever edits looks at ``status`` and the log."""
        self._edits.hear(cause)
        try:
            await self._turns.take(self._read_what_was_heard if self.hot_swap else self._weigh)
        except RolegateError:
            return  # told already
        except Exception:  # noqa: BLE001  (whatever one edit met, the next one has to be seen)
            _log.exception("taking up an edit failed")

    async def _read_what_was_heard(self) -> None:
        if self._edits.heard:  # else whoever asked for something meanwhile has read it
            await self._reread(None)

    def not_stored(self, error: RolegateError, *, cause: str) -> None:
        """An edit that this gateway was asked for could not be written. Whoever asked knows; this is for the log and ``status``,
        until an edit comes through."""
        self._edits.refused(error)
        _log.error("an edit could not be stored", extra={"cause": cause, "reason": said(error)})

    def ailing(self, reason: str) -> None:
        """The files of the configuration cannot be looked at for this reason; empty when they can again."""
        self._watch_error = reason

    async def watch(self) -> None:
        """Look again from time to time, until cancelled.

        With hot-swap off, selection belongs to the start. It is made again for what was not known then: a provider that answers,
        or has described its models, for the first time, a model that refused what a role demands or failed to load, and a role
        that nothing could serve and something can now. With hot-swap on it is made again for whatever a look finds changed,
        and an edit that could not be taken up is tried again.
        """
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._await_s if self._lookout.restless else self._refresh_s):
                    await self._wake.wait()
            self._wake.clear()
            self._news.clear()
            try:
                await self._turns.take(self._look_again, patient=True)
            except RolegateError as error:
                self._look_error = str(error)
            except Exception as error:  # noqa: BLE001  (whatever one look met, the next one has to come)
                self._look_error = said(error)
                _log.exception("looking again failed")
            else:
                self._look_error = ""
            # A model that is listed and not served would otherwise have us look at every request for it.
            with suppress(TimeoutError):
                async with asyncio.timeout(min(PAUSE_S, self._await_s)):
                    await self._news.wait()

    def attempt_failed(self, deployment: Deployment, failed: UpstreamFailed, *, needs: Needs) -> None:
        """Implements the relay's ``Observer``: what a failure says of the model is worth a look at once."""
        if self._learning.note(deployment, failed, needs=needs):
            self._wake.set()

    async def look(self) -> Discovery:
        """Ask all providers now. The plan stays as it is; with hot-swap on, ``watch`` is told to look as well where there is
        news."""
        discovery = await self._lookout.look(self.registry)
        if self.hot_swap and self._succession.started:
            before = self._succession.live.discovery
            if await asyncio.to_thread(news, before, discovery):
                self._news.set()
                self._wake.set()
        return discovery

    async def close(self) -> None:
        """End what is under way; the live generation stays with the switchboard."""
        await self._turns.close()
        await self._succession.close()

    def _require_hot_swap(self) -> None:
        if not self.hot_swap:
            raise HotSwapDisabled

    def _persisting(self, profile: str | None) -> Callable[[], None]:
        return lambda: self._effects.persist(profile)

    async def _noticed(self) -> str:
        """Which files have changed that nobody has read yet, in words. Whoever asks reads them, or means to have them wait:
        what the watch has still to say of them is no news."""
        return self._edits.take_for_read(await asyncio.to_thread(self._effects.noticed))

    async def _reread(self, profile: str | None, *, cause: str = "", persist: Callable[[], None] | None = None) -> Swap:
        made: list[Draft] = []

        async def make() -> Draft:
            made.append(await self._draft_of(await asyncio.to_thread(self._effects.read, profile)))
            return made[0]

        live, noticed = self._succession.live, await self._noticed()
        cause = cause or noticed or ASKED
        try:
            swap = await self._succession.attempt(make, cause=cause, persist=persist)
        except Exception as error:
            if profile is None:
                draft = made[0] if made else None
                self._edits.not_taken_up(error, draft=draft, live=live, profile=self.configuration.profile, cause=cause)
            else:
                self._try_later(noticed)
            if profile is None or not isinstance(error, UnknownName):
                self._edits.refused(error)
            raise
        self._settled()
        return swap

    async def _roll_back(self) -> Swap:
        target = self._succession.before
        if target is None:
            raise BadRequest(
                "there is no generation to go back to",
                hint="no edit has changed what this process serves, and what one before it served is not kept; "
                "`rolegate profiles use` chooses another profile",
            )
        configuration = target.configuration
        moves = configuration.profile != self.configuration.profile
        persist = self._persisting(configuration.profile) if moves else None
        noticed = await self._noticed()
        try:
            swap = await self._succession.attempt(
                lambda: self._draft_of(configuration), cause="rollback", persist=persist, hurried=True
            )
        except UnknownName as error:
            self._try_later(noticed)
            raise BadRequest(
                f'the profile that served before, "{configuration.profile}", is not there any more',
                hint="`rolegate profiles use` chooses another",
            ) from error
        except Exception as error:
            self._try_later(noticed)
            self._edits.refused(error)
            raise
        self._settled()
        kept = await self._kept_in_files(configuration)
        undone = (
            f"{target.left_with} is undone"
            if swap.swapped
            else f"nothing would be otherwise without {target.left_with}"
        )
        return replace(swap, note="; ".join(filter(None, [undone, kept])))

    async def _kept_in_files(self, configuration: Configuration) -> str:
        """What the files ask for instead of ``configuration``, which serves from now on, in words; empty where they agree."""
        try:
            asked = await asyncio.to_thread(self._effects.read, None)
        except RolegateError as error:
            self._edits.unusable(error, profile=self.configuration.profile)
            return "the files cannot be used as they are"
        return self._edits.kept_in_files(asked, serving=configuration)

    def _try_later(self, noticed: str) -> None:
        """What was noticed in the files while something else was asked for, and failed, is taken up on its own."""
        if noticed:
            self._edits.untaken = noticed
            self._wake.set()

    def _settled(self) -> None:
        """The configuration that was asked for is live."""
        if self._edits.error:
            _log.info("the configuration is taken up again")
        self._edits.taken_up(self.configuration)
        self._lookout.expect(self._succession.live.discovery)
        self._lookout.settled()
        self._wake.set()

    async def _weigh(self) -> None:
        """Note what the files would change, hot-swap being off."""
        before = self.pending
        self._edits.take_for_read()
        try:
            await self._weigh_files()
        except RolegateError as error:
            self._edits.unusable(error, profile=self.configuration.profile)
            if self._edits.refused(error):
                _log.error("the configuration cannot be used as it is now", extra={"reason": said(error)})
            return
        self._edits.error = ""
        if self.pending is not None and self.pending != before:
            roles, settings = ", ".join(self.pending.changed_roles), ", ".join(self.pending.restart)
            facts = {"roles": roles or "none", "settings": settings or "none"}
            _log.info("a change of the configuration waits for a restart", extra=facts)

    async def _weigh_files(self) -> None:
        """Note what the files would change. Raises what keeps them from being used."""
        draft = await self._draft_of(await asyncio.to_thread(self._effects.read, None))
        self._edits.weigh(draft, live=self._succession.live)

    async def _draft_of(self, configuration: Configuration) -> Draft:
        """What this configuration comes to, by a look of now; by a second one where a host does not answer that did before."""
        if not self._succession.started:
            return await self._draft(configuration, self._registry, await self._lookout.look(self._registry))
        live = self._succession.live
        found = await asyncio.to_thread(self._effects.facts, configuration)
        registry = live.registry if found is None else found
        discovery = await self._lookout.look(registry)
        if self._lookout.in_doubt(live.discovery, discovery):
            discovery = await self._lookout.look(registry)
        return await self._draft(configuration, registry, discovery)

    async def _draft(self, configuration: Configuration, registry: Registry, discovery: Discovery) -> Draft:
        check_names(configuration, discovery)
        resources = self._lookout.feel(discovery, policy=configuration.policy)
        return await asyncio.to_thread(
            drafted, configuration=configuration, registry=registry, discovery=discovery, resources=resources
        )

    async def _look_again(self) -> None:
        if self._edits.untaken:
            with suppress(Exception):  # told already, and what is live has to be looked after all the same
                await self._reread(None, cause=self._edits.untaken)
        if self._edits.unweighed:
            self._edits.unweighed = False
            with suppress(RolegateError):  # whoever edits next is told what is wrong
                await self._weigh_files()
        live = self._succession.live
        self._learning.weigh_loads(live.registry.last, sample=self._probe.sample, policy=live.configuration.policy)
        discovery = await self._lookout.look(live.registry)
        learned = self._learning.causes(roles=live.configuration.roles.values())
        arrived = self._lookout.arrived(discovery)
        if arrived:
            await self._follow(discovery, cause=self._lookout.greeting(arrived))
        elif learned:
            await self._follow(discovery, cause=learned)
        elif self.hot_swap:
            self._lookout.feel(discovery, policy=live.configuration.policy)
            doubt = self._lookout.in_doubt(live.discovery, discovery)
            found = "" if doubt else await asyncio.to_thread(news, live.discovery, discovery)
            causes = [*filter(None, [found]), *self._lookout.machine_news]
            if causes:
                await self._follow(discovery, cause=", ".join(causes))
        elif unserved := set(live.selection.plan.degraded):
            draft = await self._draft(live.configuration, live.registry, discovery)
            served = unserved - set(draft.selection.plan.degraded)
            if served:
                await self._follow(discovery, cause=f"{', '.join(sorted(served))} can be served now")
        self._lookout.awaited -= arrived
        self._lookout.meet(discovery)

    async def _follow(self, discovery: Discovery, *, cause: str) -> None:
        """Make the plan again for the live configuration."""
        live = self._succession.live
        await self._succession.attempt(lambda: self._draft(live.configuration, live.registry, discovery), cause=cause)
        self._learning.settled()
        self._lookout.settled()
