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

from gateway.domain.complaint import Complaint, complaint, counted_tokens, failure_class
from gateway.domain.failure import FailureClass
from gateway.errors import RolegateError, UpstreamFailed
from gateway.reach import Forbidden

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

_KNOWN_BETTER: Final = frozenset({FailureClass.CONTEXT_LENGTH, FailureClass.CONTENT_POLICY})
"""What LiteLLM finds in the words of more providers than we know, ..."""
_VAGUE: Final = frozenset({FailureClass.BAD_REQUEST, FailureClass.UPSTREAM_ERROR})
"""... and which statuses it is asked about."""
_UNSAID: Final = frozenset(
    {
        FailureClass.STALL,
        FailureClass.TIMEOUT,
        FailureClass.TIMEOUT_FIRST_TOKEN,
        FailureClass.TRANSPORT,
        FailureClass.TRUNCATED,
    }
)
"""What a connection shows, whatever LiteLLM says about it."""
_PROVIDERS: Final = "litellm.llms."
"""Where LiteLLM keeps the exceptions in which it puts an error event that a provider has sent."""

_PREFIXES: Final = re.compile(r"(?:(?:litellm\.)?[A-Za-z]*(?:Error|Timeout|Exception)(?:: | - ))+")
_ADVICE: Final = re.compile(r"\. Handle with `litellm\.\w+`\.$")

_SENTENCES: Final = MappingProxyType(
    {
        FailureClass.TIMEOUT: "no answer within the time allowed",
        FailureClass.TIMEOUT_FIRST_TOKEN: "no content within the time allowed",
        FailureClass.STALL: "the stream did not end within the time allowed",
    }
)


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
    said = _said(chain, answer=answer, streaming=streaming)
    found = complaint(_words(chain[0]) if said is None else said, secrets=secrets)
    failure = _classify(
        chain, answer=answer, found=found, spoken=said is not None, keyed=keyed, streaming=streaming, seen=content_seen
    )
    status = None if answer is None else answer.status_code
    message = found.message or _SENTENCES.get(failure) or (f"status {status} without a message" if status else "")
    if failure is FailureClass.AUTH:
        # Providers repeat part of the key in their words.
        message = "the provider refused the gateway's key" + (f" (status {status})" if status else "")
    if failure is FailureClass.TRANSPORT:
        # LiteLLM says no more than that there is no connection.
        forbidden = next((one for one in chain if isinstance(one, Forbidden)), None)
        message = message if forbidden is None else f"no connection: {forbidden}"
    if status is not None and 300 <= status < 400:
        message = "the provider answered with a redirect, which is not followed"
    return UpstreamFailed(
        message or type(error).__name__,
        failure=failure,
        status=status,
        spoken=said is not None and failure not in _UNSAID,
        retry_after_s=None if answer is None else retry_after_s(answer.headers),
        prompt_tokens=counted_tokens(found) if failure is FailureClass.CONTEXT_LENGTH else None,
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


def _classify(
    chain: Sequence[BaseException],
    *,
    answer: httpx.Response | None,
    found: Complaint,
    spoken: bool,
    keyed: bool,
    streaming: bool,
    seen: bool,
) -> FailureClass:
    certain = _of_type(chain, CERTAIN)
    if answer is not None:
        failure = failure_class(found, status=answer.status_code, keyed=keyed)
        return certain if certain in _KNOWN_BETTER and failure in _VAGUE else failure
    if certain is not None:
        return certain
    if any(isinstance(one, (httpx.TimeoutException, TimeoutError)) for one in chain):
        if seen:
            return FailureClass.STALL
        return FailureClass.TIMEOUT_FIRST_TOKEN if streaming else FailureClass.TIMEOUT
    if any(isinstance(one, (httpx.TransportError, ConnectionError)) for one in chain):
        return FailureClass.TRUNCATED if streaming else FailureClass.TRANSPORT
    if streaming and any(isinstance(one, (json.JSONDecodeError, UnicodeDecodeError)) for one in chain):
        return FailureClass.TRUNCATED
    if spoken:
        return failure_class(found, status=None, keyed=keyed)
    if not streaming and isinstance(_origin(chain), _LOCAL):
        return FailureClass.BAD_REQUEST
    default = _of_type(chain, BY_STATUS) or FailureClass.UPSTREAM_ERROR
    if default is FailureClass.AUTH and not keyed:
        return FailureClass.UPSTREAM_ERROR
    if default in _VAGUE:
        return failure_class(found, status=400 if default is FailureClass.BAD_REQUEST else 500, keyed=keyed)
    return default


def _said(chain: Sequence[BaseException], *, answer: httpx.Response | None, streaming: bool) -> object:
    """What upstream itself said: the body of its answer, or the error that came as an event of a stream; ``None`` where this is
    an error of LiteLLM's or of the connection's."""
    if answer is not None and answer.is_stream_consumed:
        return answer.content
    for one in chain:
        body = getattr(one, "body", None)
        if isinstance(body, str) or (isinstance(body, Mapping) and body):
            return dict(body) if isinstance(body, Mapping) else body
    if streaming:
        return next((str(one) for one in chain if type(one).__module__.startswith(_PROVIDERS)), None)
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


def _words(error: BaseException) -> str:
    """LiteLLM's words, without the class names and the advice that it puts before and after them."""
    original = getattr(error, "original_exception", None)
    text = str(original if isinstance(original, BaseException) else error)
    text = _PREFIXES.sub("", text, count=1) if _PREFIXES.match(text) else text
    return _ADVICE.sub("", text.partition("\nTraceback (most recent call last)")[0].strip())
