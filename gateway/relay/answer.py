"""What the relay hands back for one request."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, NamedTuple, Protocol

from gateway.domain.failure import FAILURE_RULES, FailureClass
from gateway.domain.plan import Deployment
from gateway.errors import AttemptFacts, RequestFailed, RolegateError, UpstreamFailed
from gateway.relay.opening import Opened, open_answer
from gateway.relay.outgoing import Outgoing
from gateway.relay.shortcut import Take
from gateway.relay.walk import Loading, Walk

Write = Callable[[bytes], Awaitable[None]]


class Outlet(Protocol):
    """The caller's connection, where it can be written to without waiting."""

    def offer(self, frames: bytes) -> bool:
        """Send this; false, with nothing sent, when the caller is gone or has not kept up with what has been sent."""


_PREFILL: Final = "supports_prefill"


class Answer(NamedTuple):
    """A whole answer. ``body`` is what the caller gets; ``usage`` the token counts, where upstream gave them; ``upstream_s`` the
    seconds spent waiting for anything but the gateway, failed attempts included; ``first_token_s`` the time of the first
    content on the relay's clock; ``fallback_reason`` is empty when the first deployment answered."""

    deployment: Deployment
    attempts: tuple[AttemptFacts, ...]
    fallback_reason: str
    upstream_s: float
    first_token_s: float | None
    usage: Mapping[str, object] | None
    body: bytes


class StreamingAnswer:
    """A streamed answer that has begun, or the word that a model is still loading. ``deliver`` it once, then ``aclose`` it,
    however it ended.

    ``deployment`` is the one that answers, ``None`` as long as nobody does; ``error`` tells, after the delivery, why the
    answer broke off, and ``stopped`` that the caller stopped reading.
    """

    def __init__(self, walk: Walk, *, begun: Opened | Loading, outgoing: Outgoing) -> None:
        self._walk = walk
        self._asked = walk.passage.body
        self._broke_off: RequestFailed | None = None
        self._outgoing = outgoing
        self._opened = begun if isinstance(begun, Opened) else None
        self._loading = begun if isinstance(begun, Loading) else None
        self._first_token_s: float | None = None
        self._outlet: Outlet | None = None
        self.error: RequestFailed | None = None
        self.stopped = False

    @property
    def deployment(self) -> Deployment | None:
        return self._opened.deployment if self._opened else None

    @property
    def fallback_reason(self) -> str:
        """Why the deployments before the one that answers did not."""
        return self._walk.passage.fallback_reason(self._opened.index) if self._opened else ""

    @property
    def attempts(self) -> tuple[AttemptFacts, ...]:
        """Every attempt so far; the last is this answer's own."""
        return self._walk.passage.ledger.attempts

    @property
    def upstream_s(self) -> float:
        """Seconds spent waiting for anything but the gateway so far, failed attempts included."""
        return self._walk.passage.spent_s + (self._opened.watch.waited_s if self._opened else 0.0)

    @property
    def first_token_s(self) -> float | None:
        """When the first content came, on the relay's clock."""
        if self._first_token_s is None and self._opened is not None:
            return self._opened.watch.told_s
        return self._first_token_s

    @property
    def usage(self) -> Mapping[str, object] | None:
        """The token counts, once they are there."""
        return self._outgoing.usage

    @property
    def failed(self) -> bool:
        return self.error is not None

    async def deliver(self, write: Write, *, outlet: Outlet | None = None) -> None:
        """Pass the answer on, frame by frame, as it comes; what can be written at once goes to ``outlet``, if there is one.

        When upstream fails, one event with the error takes the place of what is missing. Upstream is held open for the
        caller, so the total deadline holds for the caller's reading too.
        """
        self._walk.patience.move()
        self._outlet = outlet
        try:
            if self._opened is None and not await self._await_opening(write):
                return
            while not await self._pass_on(write):
                pass
        except _Stopped:
            self.stopped = True

    def cut_off(self, error: RolegateError) -> bytes:
        """What takes the place of the rest when it is the gateway that cannot go on."""
        self.error = error if isinstance(error, RequestFailed) else _own_fault(error)
        return self._outgoing.failed(self.error)

    async def aclose(self) -> None:
        """Close upstream at once if it is still open."""
        try:
            if self._opened is not None:
                await self._opened.watch.aclose()
        finally:
            self._walk.close()

    async def _await_opening(self, write: Write) -> bool:
        """Say that a model loads until an answer begins; false when none does."""
        begun: Opened | Loading | None = self._loading
        try:
            while isinstance(begun, Loading):
                begun = await self._wait_on(begun, write=write)
        except _Stopped:
            raise
        except RolegateError as error:
            self.error = error if isinstance(error, RequestFailed) else _own_fault(error)
            await self._send(write, self._outgoing.failed(self.error))
            return False
        assert isinstance(begun, Opened)  # noqa: S101  (the loop ends with nothing else)
        self._opened = begun
        return True

    async def _pass_on(self, write: Write) -> bool:
        """Pass on what the present deployment answers; false when another one goes on with it."""
        assert self._opened is not None  # noqa: S101  (called once an answer has begun)
        watch = self._opened.watch
        try:
            await self._send(write, self._opened.frames)
            with self._walk.shortcut.to(self._straight()):
                while (events := await watch.next()) is not None:
                    frames = self._outgoing.frames(events)
                    if frames:
                        await self._send(write, frames)
            self._walk.succeeded()
            await self._send(write, self._outgoing.ending())
        except _Stopped:
            raise
        except Exception as failed:  # noqa: BLE001 - whatever a lane or a wire raises, the caller gets an error event
            return await self._break_off(failed, write=write)
        return True

    def _straight(self) -> Take | None:
        """How text goes out without a wait, if it may."""
        outlet, patience = self._outlet, self._walk.patience
        if outlet is None or not self._outgoing.as_it_comes:
            return None

        def send(frames: bytes) -> bool:
            if not outlet.offer(frames):
                return False
            patience.stir()
            return True

        return send

    async def _send(self, write: Write, frames: bytes) -> None:
        left_s = self._opened.watch.left_s if self._opened else self._walk.left_s
        try:
            await self._walk.patience.wait(write(frames), within_s=left_s)
        except TimeoutError as exc:
            raise _Stopped from exc

    async def _break_off(self, failed: Exception, *, write: Write) -> bool:
        """True when that is the end; false when another deployment goes on."""
        assert self._opened is not None  # noqa: S101  (only what has begun breaks off)
        kept = self._walk.fail(failed, delivered=True)
        error = self._walk.refusal()
        if self._broke_off is not None and not self._outgoing.went_on:
            # Who was to go on did not: the caller hears why the answer had broken off.
            error = self._broke_off
        self._broke_off = error
        watch = self._opened.watch
        self._first_token_s = self.first_token_s
        self._walk.passage.spent_s += watch.waited_s
        await watch.aclose()
        opened = await self._go_on(kept, write=write)
        if opened is None:
            error.attempts = self.attempts
            self.error = error
            await self._send(write, self._outgoing.failed(error))
            return True
        self._opened = opened
        return False

    async def _wait_on(self, loading: Loading, *, write: Write) -> Opened | Loading:
        """Say that a model loads, and go on waiting for it."""
        await self._send(write, b": loading %b\n\n" % str(loading.deployment.ref).encode())
        return await open_answer(self._walk, outgoing=self._outgoing)

    async def _go_on(self, failed: UpstreamFailed, *, write: Write) -> Opened | None:
        """The answer of another deployment that goes on where this one ended; ``None`` when there is none."""
        if not FAILURE_RULES[FailureClass(failed.failure)].moves_on:
            return None
        body = self._outgoing.rest_of(self._asked)
        if body is None:
            return None
        deployments = self._walk.passage.route.plan.deployments
        unfit = {
            index: "does not go on with an answer that another model began"
            for index, one in enumerate(deployments)
            if _PREFILL not in one.features
        }
        self._walk.go_on_with(body, excluded=unfit)
        try:
            begun = await open_answer(self._walk, outgoing=self._outgoing)
            while isinstance(begun, Loading):
                begun = await self._wait_on(begun, write=write)
        except RolegateError:
            return None
        return begun


class _Stopped(Exception):
    """The caller stopped reading until the total deadline was over."""


def _own_fault(error: RolegateError) -> RequestFailed:
    """An error of the request itself that came out only after headers had been sent."""
    return RequestFailed(
        error.message,
        code=error.code,
        http_status=error.http_status,
        openai_type=error.openai_type,
        source="gateway",
        attempts=(),
        hint=error.hint,
    )
