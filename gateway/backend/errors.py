"""LiteLLM's exceptions, mapped: by the HTTP answer where there was one, by type, and by words only where no type exists.

What LiteLLM raises is often its own reading: a refused connection becomes an ``InternalServerError``, Anthropic's 529 a 500.
The exceptions underneath still say what happened, so they are asked first.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from email.utils import parsedate_to_datetime
from types import MappingProxyType
from typing import Final

import httpx

from gateway.domain.failure import STATUS_CLASSES, FailureClass
from gateway.errors import RolegateError, UpstreamFailed

CERTAIN: Final = MappingProxyType(
    {
        "BlockedPiiEntityError": FailureClass.CONTENT_POLICY,
        "BudgetExceededError": FailureClass.RATE_LIMIT,
        "ContentPolicyViolationError": FailureClass.CONTENT_POLICY,
        "ContextWindowExceededError": FailureClass.CONTEXT_LENGTH,
        "GuardrailRaisedException": FailureClass.CONTENT_POLICY,
        "ImageFetchError": FailureClass.BAD_REQUEST,
        "InvalidRequestError": FailureClass.BAD_REQUEST,
        "JSONSchemaValidationError": FailureClass.UPSTREAM_ERROR,
        "LiteLLMUnknownProvider": FailureClass.GONE,
        "ModelNotMappedError": FailureClass.UPSTREAM_ERROR,
        "ModifyResponseException": FailureClass.CONTENT_POLICY,
        "PaymentRequiredError": FailureClass.RATE_LIMIT,
        "RateLimitError": FailureClass.RATE_LIMIT,
        "RejectedRequestError": FailureClass.CONTENT_POLICY,
        "SensitiveDataRouteException": FailureClass.CONTENT_POLICY,
        "UnsupportedParamsError": FailureClass.CAPABILITY,
        "VectorStoreSearchError": FailureClass.UPSTREAM_ERROR,
    }
)
"""Exceptions whose type alone decides."""

BY_STATUS: Final = MappingProxyType(
    {
        "APIConnectionError": FailureClass.UPSTREAM_ERROR,
        "APIError": FailureClass.UPSTREAM_ERROR,
        "APIResponseValidationError": FailureClass.UPSTREAM_ERROR,
        "AuthenticationError": FailureClass.AUTH,
        "BadGatewayError": FailureClass.UPSTREAM_ERROR,
        "BadRequestError": FailureClass.BAD_REQUEST,
        "InternalServerError": FailureClass.UPSTREAM_ERROR,
        "MidStreamFallbackError": FailureClass.UPSTREAM_ERROR,
        "MockException": FailureClass.UPSTREAM_ERROR,
        "NotFoundError": FailureClass.GONE,
        "OpenAIError": FailureClass.UPSTREAM_ERROR,
        "PermissionDeniedError": FailureClass.AUTH,
        "ServiceUnavailableError": FailureClass.OVERLOADED,
        "Timeout": FailureClass.TIMEOUT,
        "UnprocessableEntityError": FailureClass.BAD_REQUEST,
    }
)
"""Exceptions of many causes: the status that upstream answered decides, and this class where there was no answer."""

_LOCAL: Final = (TypeError, ValueError, LookupError, AttributeError, AssertionError, RecursionError)
"""What Python raises over a value that it cannot work with. Before upstream has begun to answer, that is the caller's."""

_WORDED: Final = frozenset({400, 413, 422, 500})
"""Statuses that say so little that the words decide first."""

_CANNOT: Final = re.compile(
    r"(?:does not|doesn't) support (?:tool|function|thinking|reasoning|image|vision|audio)", re.IGNORECASE
)
_TOO_LONG: Final = re.compile(
    r"exceed_context_size|context.length|context.window|maximum context|exceeds? the available context|prompt is too long"
    r"|input is too long|reduce the length of the (?:messages|prompt)",
    re.IGNORECASE,
)
_COUNTED: Final = re.compile(
    r"(?:resulted in|prompt is too long:|requested|n_prompt_tokens\W+|input token count \(?)\s*(\d+)(?:\s+tokens|\W|$)",
    re.IGNORECASE,
)
_PREFIXES: Final = re.compile(r"(?:(?:litellm\.)?[A-Za-z]*(?:Error|Timeout|Exception)(?:: | - ))+")

_SENTENCES: Final = MappingProxyType(
    {
        FailureClass.TIMEOUT: "no answer within the time allowed",
        FailureClass.TIMEOUT_FIRST_TOKEN: "no content within the time allowed",
        FailureClass.STALL: "the stream did not end within the time allowed",
    }
)

_MASK: Final = "[redacted]"


def upstream_failed(
    error: BaseException,
    *,
    secrets: Sequence[str] = (),
    keyed: bool = True,
    streaming: bool = False,
    content_seen: bool = False,
) -> UpstreamFailed:
    """What one failed call was, in our terms. ``secrets`` are removed from the message by exact value.

    ``keyed`` says that a key was sent: only then can it have been refused. ``streaming`` says that upstream had begun to
    answer; ``content_seen`` that content had come.
    """
    chain = tuple(_chain(error))
    answer = next((one.response for one in chain if isinstance(one, httpx.HTTPStatusError)), None)
    words = _words(chain[0], secrets=secrets)
    failure = _classify(chain, answer=answer, words=words, streaming=streaming, content_seen=content_seen)
    if failure is FailureClass.AUTH and not keyed:
        failure = FailureClass.UPSTREAM_ERROR
    if answer is not None and 300 <= answer.status_code < 400:
        words = "the provider answered with a redirect, which is not followed"
    return UpstreamFailed(
        words or _SENTENCES.get(failure, type(error).__name__),
        failure=failure,
        status=None if answer is None else answer.status_code,
        retry_after_s=None if answer is None else retry_after_s(answer.headers),
        prompt_tokens=_prompt_tokens(words) if failure is FailureClass.CONTEXT_LENGTH else None,
    )


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """How long upstream asks to wait. A date is read against upstream's own ``Date``, so its clock need not agree with ours."""
    known = {name.lower(): value for name, value in headers.items()}
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            wait_s = float(known[name]) * unit
        except (KeyError, ValueError):
            continue
        return wait_s if wait_s >= 0 and math.isfinite(wait_s) else None
    try:
        wait = parsedate_to_datetime(known["retry-after"]) - parsedate_to_datetime(known["date"])
    except (KeyError, ValueError, TypeError, OverflowError):
        return None
    return max(0.0, wait.total_seconds())


def redacted(text: str, *, secrets: Sequence[str]) -> str:
    """``text`` without any of ``secrets``, the longest first so that none hides inside another."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, _MASK)
    return text


def _classify(
    chain: Sequence[BaseException],
    *,
    answer: httpx.Response | None,
    words: str,
    streaming: bool,
    content_seen: bool,
) -> FailureClass:
    certain = _of_type(chain, CERTAIN)
    if certain is not None:
        return certain
    if answer is not None:
        return _by_answer(answer.status_code, words)
    if any(isinstance(one, (httpx.TimeoutException, TimeoutError)) for one in chain):
        if content_seen:
            return FailureClass.STALL
        return FailureClass.TIMEOUT_FIRST_TOKEN if streaming else FailureClass.TIMEOUT
    if any(isinstance(one, (httpx.TransportError, ConnectionError)) for one in chain):
        return FailureClass.TRUNCATED if streaming else FailureClass.TRANSPORT
    if streaming and any(isinstance(one, (json.JSONDecodeError, UnicodeDecodeError)) for one in chain):
        return FailureClass.TRUNCATED
    told = _told_status(chain)
    if told is not None:
        return _by_answer(told, words)
    if not streaming and isinstance(_origin(chain), _LOCAL):
        return FailureClass.BAD_REQUEST
    default = _of_type(chain, BY_STATUS) or FailureClass.UPSTREAM_ERROR
    if default is FailureClass.UPSTREAM_ERROR:
        return FailureClass.CONTEXT_LENGTH if _TOO_LONG.search(words) else default
    return _by_answer(400, words) if default is FailureClass.BAD_REQUEST else default


def _by_answer(status: int, words: str) -> FailureClass:
    if status in _WORDED and _TOO_LONG.search(words):
        return FailureClass.CONTEXT_LENGTH
    if status in _WORDED and _CANNOT.search(words):
        return FailureClass.CAPABILITY
    return STATUS_CLASSES.get(status, FailureClass.UPSTREAM_ERROR)


def _told_status(chain: Sequence[BaseException]) -> int | None:
    """The status inside an error that came as an event of a stream, whose own status was 200."""
    for one in chain:
        body = getattr(one, "body", None)
        code = body.get("code") if isinstance(body, Mapping) else None
        if isinstance(code, int) and 400 <= code < 600:
            return code
    return None


def _origin(chain: Sequence[BaseException]) -> BaseException | None:
    """The first exception in ``chain`` that LiteLLM did not make itself: the one that it has wrapped."""
    return next((one for one in chain if type(one).__module__.split(".")[0] != "litellm"), None)


def _of_type(chain: Sequence[BaseException], table: Mapping[str, FailureClass]) -> FailureClass | None:
    """The class of the first of LiteLLM's own exceptions in ``chain``, a subclass counting as what it is derived from."""
    for one in chain:
        for kind in type(one).__mro__:
            if kind.__module__ == "litellm.exceptions" and kind.__name__ in table:
                return table[kind.__name__]
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The exception and what is under it, the provider's own included, each once.

    It ends at an error of ours: that is an earlier attempt, in whose handling this one was made.
    """
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop(0)
        if one is None or id(one) in seen or isinstance(one, RolegateError):
            continue
        seen.add(id(one))
        yield one
        original = getattr(one, "original_exception", None)
        waiting += [original if isinstance(original, BaseException) else None, one.__cause__, one.__context__]


def _words(error: BaseException, *, secrets: Sequence[str]) -> str:
    """The provider's words, without the class names that LiteLLM puts before and after them."""
    original = getattr(error, "original_exception", None)
    text = str(original if isinstance(original, BaseException) else error)
    text = _PREFIXES.sub("", text, count=1) if _PREFIXES.match(text) else text
    return redacted(text.partition("\nTraceback (most recent call last)")[0], secrets=secrets).strip()


def _prompt_tokens(words: str) -> int | None:
    found = _COUNTED.search(words)
    return int(found[1]) if found else None
