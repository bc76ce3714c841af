"""One request of the data plane and its answer, as headers, log and journal tell of it."""

import logging
import time
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import Final

import orjson
from starlette.types import Scope

from gateway.api.reply import Header, Headers, headers_in, lines_of, raw_headers
from gateway.api.request_id import request_id_of
from gateway.api.visitor import visitor_of
from gateway.domain.model import ModelRef
from gateway.domain.ports import Journal
from gateway.domain.record import RequestRecord
from gateway.errors import AttemptFacts, BadRequest, RequestFailed, RolegateError
from gateway.relay.answer import Answer, StreamingAnswer
from gateway.telemetry.logs import FACTS

LOGGER: Final = __name__
"""What the lines of requests come from: one each."""
_log = logging.getLogger(LOGGER)
_EMPTY_RECORD: Final = {**vars(logging.makeLogRecord({})), "name": _log.name}
CLOUD_HEADERS: Final[tuple[Header, ...]] = ((b"x-rolegate-cloud", b"true"),)
"""Of answers for which data has left the machine, whether the cloud's answer was the one or not."""
WISH: Final = b"x-rolegate-cloud"
"""The header by which a caller keeps its request at home."""
TRACE: Final = b"x-rolegate-trace"
"""The header by which a caller asks for the attempts of its request."""
_KNOWN_WISHES: Final = frozenset({WISH, TRACE})
_OURS: Final = b"rolegate"
_SHOWN_BYTES: Final = 40
_DETAILS: Final = frozenset({"prompt_tokens_details", "completion_tokens_details"})
CALLER_GONE: Final = 499
"""What the log says of a request whose caller went away; nobody is there to be sent it."""


class Exchange:
    """Made when a request arrives, told of once it is over. ``endpoint`` is the dialect's word."""

    __slots__ = (
        "_attempts",
        "_endpoint",
        "_journal",
        "_said",
        "_scope",
        "_started",
        "answer",
        "begun",
        "generation",
        "is_role",
        "request_id",
        "role",
        "stream",
        "visitor",
    )

    def __init__(self, scope: Scope, *, endpoint: str, journal: Journal | None) -> None:
        self._started = time.monotonic()
        self._endpoint = endpoint
        self._journal = journal
        self._scope = scope
        self._said = dict(scope["headers"])
        self.request_id = request_id_of(self._said)
        self.visitor = visitor_of(scope)
        self.generation: int | None = None
        self.role = ""
        """The role that was asked for, or the model reference; empty while neither is known."""
        self.is_role = False
        self.stream = False
        self.answer: Answer | StreamingAnswer | None = None
        """What the relay handed back, once it has."""
        self._attempts: tuple[AttemptFacts, ...] = ()
        self.begun = False
        """The answer is on its way out."""

    def headers(self) -> Headers:
        """What is known before anything has answered."""
        return headers_in(self._head())

    def answer_head(self, answer: Answer | StreamingAnswer) -> bytes:
        """The headers of an answer, as ``lines_of`` writes them."""
        head = self._head()
        attempts, deployment = answer.attempts, answer.deployment
        if deployment is not None:
            overhead_s = time.monotonic() - self._started - answer.upstream_s
            head += b"%bx-rolegate-overhead-ms: %.2f\r\n" % (
                _answered_by(deployment.ref, len(attempts), answer.fallback_reason),
                max(overhead_s, 0.0) * 1000,
            )
        if left_the_machine(attempts):
            head += lines_of(CLOUD_HEADERS)
        if self._said.get(TRACE) == b"1" and isinstance(answer, Answer):
            steps = (f"{one.model}={one.failure or 'ok'};ms={one.ms:.1f}" for one in attempts)
            head += lines_of(raw_headers({"x-rolegate-trace": ", ".join(steps)}))
        return head

    def stays(self) -> bool:
        """Does the caller want nothing to leave the machine? Raises ``BadRequest`` for a wish that there is not, and for a header
        that might have been one: whoever misspells it must not find out from the provider's bill."""
        if _OURS not in b"\n".join(self._said):
            return False
        for name, value in self._scope["headers"]:
            if name == WISH and value != b"never":
                found = value[:_SHOWN_BYTES].decode("latin-1")
                raise BadRequest(f'the header x-rolegate-cloud is "{found}"; allowed: never', param="x-rolegate-cloud")
            if name.replace(b"_", b"-").startswith(b"x-rolegate") and name not in _KNOWN_WISHES:
                found = name[:_SHOWN_BYTES].decode("latin-1")
                raise BadRequest(
                    f'there is no header "{found}"; allowed: x-rolegate-cloud, x-rolegate-trace', param=found
                )
        return WISH in self._said

    def answered(self) -> None:
        """``answer`` was sent, as far as it went."""
        answer = self.answer
        if answer is None or isinstance(answer, Answer):
            self._over(200)
        elif answer.error is not None:
            self._over(200, failure=answer.error.failure_code, message=answer.error.message, broke_off=True)
        elif answer.stopped:
            self._over(200, failure="cancelled", message="the caller stopped reading")
        else:
            self._over(200)

    def refused(self, error: RolegateError, *, status: int) -> None:
        """It was answered with an error."""
        if isinstance(error, RequestFailed):
            self._attempts = self._attempts or error.attempts
            self._over(status, failure=error.failure_code, message=error.message)
        else:
            self._over(status, failure=error.code, message=error.message)

    def gone(self) -> None:
        """The caller left before all of the answer was sent."""
        sent = CALLER_GONE if self.answer is None else 200
        self._over(CALLER_GONE, sent=sent, failure="cancelled", message="the caller went away")

    def abandoned(self, attempts: tuple[AttemptFacts, ...]) -> None:
        """These attempts had been made when the caller left."""
        self._attempts = attempts

    def name_role(self, body: bytes, *, roles: Collection[str]) -> None:
        """For a request that is wrong in some other way: the role it asks for, if it is one."""
        try:
            content = orjson.loads(body)
        except orjson.JSONDecodeError:
            return
        name = content.get("model") if isinstance(content, dict) else None
        if isinstance(name, str) and name in roles and self.visitor.may_use(name):
            self.role, self.is_role = name, True

    def _head(self) -> bytes:
        request_id = self.request_id.encode("ascii")
        head = b"x-request-id: %b\r\n%b" % (request_id, _known(self.generation, self.role if self.is_role else ""))
        return b"%brequest-id: %b\r\n" % (head, request_id) if self._endpoint == "messages" else head

    def _over(
        self, status: int, *, sent: int | None = None, failure: str = "", message: str = "", broke_off: bool = False
    ) -> None:
        """Tell the journal and the log. ``sent`` is the status that the caller got where the log has another one; ``broke_off``:
        what failed had begun."""
        started = self._started
        took_s = time.monotonic() - started
        answer = self.answer
        if answer is None:
            attempts, model, fallback, usage, first_s = self._attempts, "", "", None, None
        else:
            attempts, fallback, usage, first_s = (
                answer.attempts,
                answer.fallback_reason,
                answer.usage,
                answer.first_token_s,
            )
            model = "" if answer.deployment is None else str(answer.deployment.ref)
        record = RequestRecord(
            request_id=self.request_id,
            time_s=time.time() - took_s,
            endpoint=self._endpoint,
            role=self.role,
            stream=self.stream,
            status=status if sent is None else sent,
            failure=failure,
            model=model,
            generation=self.generation,
            cloud=left_the_machine(attempts),
            attempts=attempts,
            fallback_reason=fallback,
            prompt_tokens=None if usage is None else _count(usage, "prompt_tokens"),
            completion_tokens=None if usage is None else _count(usage, "completion_tokens"),
            first_token_ms=None if first_s is None else round((first_s - started) * 1000, 1),
            duration_ms=round(took_s * 1000, 1),
            message=message,
            key=self.visitor.name,
        )
        if self._journal is not None:
            detailed = usage is not None and not _DETAILS.isdisjoint(usage)
            self._journal.record(_detailed(record, usage) if detailed and usage is not None else record)
        level = logging.WARNING if broke_off or status >= 500 else logging.INFO
        if _log.isEnabledFor(level):
            facts = self._facts(record, status=status)
            if message and status != CALLER_GONE:
                facts["broke_off" if broke_off else "reason"] = message
            _log.handle(_Told(level, self._endpoint, facts))

    def _facts(self, record: RequestRecord, *, status: int) -> dict[str, object]:
        facts: dict[str, object] = {"status": status, "request_id": record.request_id}
        if record.key:
            facts["key"] = record.key
        if self.is_role:
            facts["role"] = record.role
        if record.cloud:
            facts["cloud"] = True
        if record.attempts:
            facts["model"] = record.model or record.attempts[-1].model
            facts["attempts"] = len(record.attempts)
        if record.fallback_reason:
            facts["fallback"] = record.fallback_reason
        facts["ms"] = record.duration_ms
        return facts


class _Told(logging.LogRecord):
    """One request as a line of the log. The usual way looks for the caller's place in the source, and takes a path apart that is
    not there, for every request."""

    def __init__(self, level: int, message: str, facts: Mapping[str, object]) -> None:
        now_s = time.time()
        self.__dict__ = {
            **_EMPTY_RECORD,
            "msg": message,
            "created": now_s,
            "msecs": now_s % 1 * 1000,
            "levelno": level,
            "levelname": "WARNING" if level == logging.WARNING else "INFO",
            FACTS: facts,
        }


@lru_cache(maxsize=1024)
def _known(generation: int | None, role: str) -> bytes:
    """The headers that the generation and the role (empty for none) give."""
    headers = {} if generation is None else {"x-rolegate-generation": str(generation)}
    return lines_of(raw_headers({**headers, "x-rolegate-role": role} if role else headers))


@lru_cache(maxsize=1024)
def _answered_by(model: ModelRef, attempts: int, fallback_reason: str) -> bytes:
    headers = {"x-rolegate-model": str(model), "x-rolegate-attempts": str(attempts)}
    return lines_of(
        raw_headers({**headers, "x-rolegate-fallback-reason": fallback_reason} if fallback_reason else headers)
    )


def left_the_machine(attempts: Sequence[AttemptFacts]) -> bool:
    """Did anything of the request go to a cloud?"""
    for one in attempts:  # noqa: SIM110  (a generator would cost every request more than the answer)
        if one.cloud and one.left_the_machine:
            return True
    return False


def _detailed(record: RequestRecord, usage: Mapping[str, object]) -> RequestRecord:
    """With those parts of the counts that may have a price of their own."""
    prompt, completion = (_part(usage, "prompt_tokens_details"), _part(usage, "completion_tokens_details"))
    return record._replace(
        cached_tokens=_count(prompt, "cached_tokens"),
        cache_write_tokens=_count(prompt, "cache_creation_tokens"),
        audio_tokens=_count(prompt, "audio_tokens"),
        reasoning_tokens=_count(completion, "reasoning_tokens"),
    )


def _part(usage: Mapping[str, object], key: str) -> Mapping[str, object]:
    part = usage.get(key)
    return part if isinstance(part, Mapping) else {}


def _count(usage: Mapping[str, object], key: str) -> int | None:
    value = usage.get(key)
    return value if type(value) is int else None
