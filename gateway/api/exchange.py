"""One request of the data plane and its answer, as headers, log and journal tell of it."""

import logging
import random
import re
import time
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import Final

import orjson
from starlette.types import Scope

from gateway.api.reply import Header, Headers, raw_headers
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
_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9_.:-]{1,128}")
_EMPTY_RECORD: Final = {**vars(logging.makeLogRecord({})), "name": _log.name}
CLOUD_HEADERS: Final[tuple[Header, ...]] = ((b"x-rolegate-cloud", b"true"),)
"""Of answers for which data has left the machine, whether the cloud's answer was the one or not."""
WISH: Final = b"x-rolegate-cloud"
"""The header by which a caller keeps its request at home."""
_SHOWN_BYTES: Final = 40
_DETAILS: Final = frozenset({"prompt_tokens_details", "completion_tokens_details"})
CALLER_GONE: Final = 499
"""What the log says of a request whose caller went away; nobody is there to be sent it."""


class Exchange:
    """Made when a request arrives, told of once it is over. ``endpoint`` is the dialect's word."""

    def __init__(self, scope: Scope, *, endpoint: str, journal: Journal | None) -> None:
        self._started = time.monotonic()
        self._endpoint = endpoint
        self._journal = journal
        self.request_id = request_id_of(scope)
        self.visitor = visitor_of(scope)
        self._traced = (b"x-rolegate-trace", b"1") in scope["headers"]
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
        request_id = self.request_id.encode("ascii")
        headers = [(b"x-request-id", request_id), *_known(self.generation, self.role if self.is_role else "")]
        if self._endpoint == "messages":
            headers.append((b"request-id", request_id))
        return headers

    def answer_headers(self, answer: Answer | StreamingAnswer) -> Headers:
        headers = self.headers()
        attempts, deployment = answer.attempts, answer.deployment
        if deployment is not None:
            overhead_s = time.monotonic() - self._started - answer.upstream_s
            headers += _answered_by(deployment.ref, len(attempts), answer.fallback_reason)
            headers.append((b"x-rolegate-overhead-ms", b"%.2f" % (max(overhead_s, 0.0) * 1000)))
        if left_the_machine(attempts):
            headers += CLOUD_HEADERS
        if self._traced and isinstance(answer, Answer):
            steps = (f"{one.model}={one.failure or 'ok'};ms={one.ms:.1f}" for one in attempts)
            headers += raw_headers({"x-rolegate-trace": ", ".join(steps)})
        return headers

    def answered(self) -> None:
        """``answer`` was sent, as far as it went."""
        facts = self._facts(200)
        error = self.answer.error if isinstance(self.answer, StreamingAnswer) else None
        failure = message = ""
        if error is not None:
            facts["broke_off"] = message = error.message
            failure = error.failure_code
        elif isinstance(self.answer, StreamingAnswer) and self.answer.stopped:
            failure = "cancelled"
            facts["reason"] = message = "the caller stopped reading"
        self._tell(facts)
        self._note(status=200, failure=failure, message=message)

    def refused(self, error: RolegateError, *, status: int) -> None:
        """It was answered with an error."""
        failed = error if isinstance(error, RequestFailed) else None
        gone_out = {"cloud": True} if failed is not None and left_the_machine(failed.attempts) else {}
        self._tell({**self._facts(status), **gone_out, "reason": error.message})
        code = failed.failure_code if failed else error.code
        self._note(status=status, failure=code, message=error.message, failed=failed)

    def gone(self) -> None:
        """The caller left before all of the answer was sent."""
        self._tell(self._facts(CALLER_GONE))
        status = CALLER_GONE if self.answer is None else 200
        self._note(status=status, failure="cancelled", message="the caller went away")

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

    def _facts(self, status: int) -> dict[str, object]:
        facts: dict[str, object] = {"status": status, "request_id": self.request_id}
        if self.visitor.key is not None:
            facts["key"] = self.visitor.name
        if self.is_role:
            facts["role"] = self.role
        answer = self.answer
        if left_the_machine(self._attempts if answer is None else answer.attempts):
            facts["cloud"] = True
        if answer is not None:
            if answer.deployment is not None:
                facts["model"] = str(answer.deployment.ref)
            facts["attempts"] = len(answer.attempts)
            if answer.fallback_reason:
                facts["fallback"] = answer.fallback_reason
        elif self._attempts:
            facts["model"] = self._attempts[-1].model
            facts["attempts"] = len(self._attempts)
        return facts

    def _tell(self, facts: dict[str, object]) -> None:
        reason = facts.pop("reason", None)
        facts["ms"] = round((time.monotonic() - self._started) * 1000, 1)
        if reason:
            facts["reason"] = reason
        status = facts["status"]
        bad = "broke_off" in facts or (isinstance(status, int) and status >= 500)
        level = logging.WARNING if bad else logging.INFO
        if _log.isEnabledFor(level):
            _log.handle(_Told(level, self._endpoint, facts))

    def _note(self, *, status: int, failure: str, message: str, failed: RequestFailed | None = None) -> None:
        if self._journal is None:
            return
        now = time.monotonic()
        answer = self.answer
        deployment = answer.deployment if answer is not None else None
        usage = answer.usage if answer is not None else None
        first_s = answer.first_token_s if answer is not None else None
        attempts = answer.attempts if answer is not None else failed.attempts if failed is not None else self._attempts
        record = RequestRecord(
            request_id=self.request_id,
            time_s=time.time() - (now - self._started),
            endpoint=self._endpoint,
            role=self.role,
            stream=self.stream,
            status=status,
            failure=failure,
            model=str(deployment.ref) if deployment is not None else "",
            generation=self.generation,
            cloud=left_the_machine(attempts),
            attempts=attempts,
            fallback_reason=answer.fallback_reason if answer is not None else "",
            prompt_tokens=_count(usage, "prompt_tokens"),
            completion_tokens=_count(usage, "completion_tokens"),
            first_token_ms=None if first_s is None else round((first_s - self._started) * 1000, 1),
            duration_ms=round((now - self._started) * 1000, 1),
            message=message,
            key=self.visitor.name,
        )
        if usage is not None and not _DETAILS.isdisjoint(usage):
            record = _detailed(record, usage)
        self._journal.record(record)


class _Told(logging.LogRecord):
    """One request as a line of the log. The usual way looks for the caller's place in the source, and takes a path apart that is
    not there, for every request."""

    def __init__(self, level: int, message: str, facts: Mapping[str, object]) -> None:
        now_s = time.time()
        self.__dict__ = {**_EMPTY_RECORD, **facts, FACTS: facts}
        self.msg = message
        self.created = now_s
        self.msecs = now_s % 1 * 1000
        self.levelno = level
        self.levelname = "WARNING" if level == logging.WARNING else "INFO"


@lru_cache(maxsize=1024)
def _known(generation: int | None, role: str) -> tuple[Header, ...]:
    """The headers that the generation and the role (empty for none) give."""
    headers = {} if generation is None else {"x-rolegate-generation": str(generation)}
    return tuple(raw_headers({**headers, "x-rolegate-role": role} if role else headers))


@lru_cache(maxsize=1024)
def _answered_by(model: ModelRef, attempts: int, fallback_reason: str) -> tuple[Header, ...]:
    headers = {"x-rolegate-model": str(model), "x-rolegate-attempts": str(attempts)}
    return tuple(
        raw_headers({**headers, "x-rolegate-fallback-reason": fallback_reason} if fallback_reason else headers)
    )


def left_the_machine(attempts: Sequence[AttemptFacts]) -> bool:
    """Did anything of the request go to a cloud?"""
    for one in attempts:  # noqa: SIM110  (a generator would cost every request more than the answer)
        if one.cloud and one.left_the_machine:
            return True
    return False


def stays(scope: Scope) -> bool:
    """Does the caller want nothing to leave the machine? Raises ``BadRequest`` for a wish that there is not: whoever misspells it
    must not find out from the provider's bill."""
    wished = [value for name, value in scope["headers"] if name == WISH]
    for value in wished:
        if value != b"never":
            found = value[:_SHOWN_BYTES].decode("latin-1")
            raise BadRequest(f'the header x-rolegate-cloud is "{found}"; allowed: never', param="x-rolegate-cloud")
    return bool(wished)


def _detailed(record: RequestRecord, usage: Mapping[str, object]) -> RequestRecord:
    """With those parts of the counts that may have a price of their own."""
    prompt, completion = (_part(usage, "prompt_tokens_details"), _part(usage, "completion_tokens_details"))
    return record._replace(
        cached_tokens=_count(prompt, "cached_tokens"),
        cache_write_tokens=_count(prompt, "cache_creation_tokens"),
        audio_tokens=_count(prompt, "audio_tokens"),
        reasoning_tokens=_count(completion, "reasoning_tokens"),
    )


def _part(usage: Mapping[str, object], key: str) -> Mapping[str, object] | None:
    part = usage.get(key)
    return part if isinstance(part, Mapping) else None


def _count(usage: Mapping[str, object] | None, key: str) -> int | None:
    value = usage.get(key) if usage is not None else None
    return value if type(value) is int else None


def request_id_of(scope: Scope) -> str:
    """The request's id: the caller's own if it is one that can be passed on, else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            return str(value, "ascii")
    return f"{random.getrandbits(128):032x}"
