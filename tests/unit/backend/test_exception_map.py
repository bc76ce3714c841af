"""How LiteLLM's exceptions, and what lies under them, become failure classes."""

import json

import httpx
import pytest

from gateway.backend.errors import BY_STATUS, CERTAIN, retry_after_s, upstream_failed
from gateway.backend.library import load_library
from gateway.domain.failure import FailureClass
from gateway.errors import UpstreamFailed

pytestmark = [
    pytest.mark.litellm_facts,
    pytest.mark.filterwarnings("ignore:Accessing the 'model_(computed_)?fields' attribute on the instance"),
    pytest.mark.filterwarnings(
        "ignore:Item '.*' on TypedDict class '.*' is using the `ReadOnly` qualifier:UserWarning"
    ),
]

DATE = "Sun, 22 Nov 2026 10:00:00 GMT"
LATER = "Sun, 22 Nov 2026 10:00:45 GMT"


def under(top: Exception, *below: Exception) -> Exception:
    """``top``, raised while handling the first of ``below``, which was raised while handling the next."""
    error = top
    for one in below:
        error.__context__ = one
        error = one
    return top


def answered(status: int, headers: dict[str, str] | None = None, *, body: str = "") -> httpx.HTTPStatusError:
    request = httpx.Request("POST", "http://127.0.0.1/")
    response = httpx.Response(status, headers=headers, content=body, request=request)
    return httpx.HTTPStatusError("", request=request, response=response)


def test_every_exception_of_the_installed_litellm_is_mapped_exactly_once() -> None:
    module = load_library().module.exceptions
    theirs = {
        name
        for name, kind in vars(module).items()
        if isinstance(kind, type) and issubclass(kind, BaseException) and kind.__module__ == module.__name__
    }
    ours = set(CERTAIN) | set(BY_STATUS)
    assert theirs == ours, f"new exceptions: {sorted(theirs - ours)}, gone: {sorted(ours - theirs)}"
    assert not set(CERTAIN) & set(BY_STATUS)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("AuthenticationError", FailureClass.AUTH),
        ("BadRequestError", FailureClass.BAD_REQUEST),
        ("ContentPolicyViolationError", FailureClass.CONTENT_POLICY),
        ("ContextWindowExceededError", FailureClass.CONTEXT_LENGTH),
        ("InternalServerError", FailureClass.UPSTREAM_ERROR),
        ("RateLimitError", FailureClass.RATE_LIMIT),
        ("ServiceUnavailableError", FailureClass.OVERLOADED),
        ("Timeout", FailureClass.TIMEOUT),
        ("UnsupportedParamsError", FailureClass.CAPABILITY),
    ],
)
def test_an_exception_that_litellm_raised_by_itself_is_mapped_by_type(name: str, expected: FailureClass) -> None:
    error = getattr(load_library().module.exceptions, name)(message="no", model="m", llm_provider="p")
    failed = upstream_failed(error)
    assert (failed.failure, failed.status) == (expected, None)


def test_what_upstream_answered_outweighs_what_litellm_made_of_it() -> None:
    error = load_library().module.exceptions.InternalServerError(message="busy", model="m", llm_provider="p")
    failed = upstream_failed(under(error, RuntimeError(), answered(529, {"Retry-After": "3"})))
    assert (failed.failure, failed.status, failed.retry_after_s) == (FailureClass.OVERLOADED, 529, 3.0)


@pytest.mark.parametrize(
    ("name", "status", "expected"),
    [
        ("RateLimitError", 500, FailureClass.UPSTREAM_ERROR),
        ("ContextWindowExceededError", 400, FailureClass.CONTEXT_LENGTH),
        ("ContentPolicyViolationError", 400, FailureClass.CONTENT_POLICY),
        ("ContentPolicyViolationError", 429, FailureClass.RATE_LIMIT),
    ],
)
def test_what_litellm_found_in_the_words_counts_where_the_status_says_little(
    name: str, status: int, expected: FailureClass
) -> None:
    error = getattr(load_library().module.exceptions, name)(message="no", model="m", llm_provider="p")
    assert upstream_failed(under(error, answered(status, body="no"))).failure is expected


@pytest.mark.parametrize(
    ("error", "spoken"),
    [
        (answered(500), True),
        (httpx.ReadError("cut"), False),
        (TimeoutError(), False),
        (KeyError("role"), False),
        (RuntimeError("odd"), False),
    ],
)
def test_upstream_has_spoken_where_it_has_answered(error: Exception, *, spoken: bool) -> None:
    assert upstream_failed(error).spoken is spoken


def test_an_answer_without_words_is_told_by_its_status() -> None:
    assert str(upstream_failed(answered(504))) == "status 504 without a message"


def test_an_exception_around_the_real_one_is_unwrapped() -> None:
    module = load_library().module.exceptions
    inner = module.RateLimitError(message="slow down", model="m", llm_provider="p")
    error = module.MidStreamFallbackError(message="x", model="m", llm_provider="p", original_exception=inner)
    failed = upstream_failed(error)
    assert (failed.failure, str(failed)) == (FailureClass.RATE_LIMIT, "slow down")


def test_an_earlier_attempt_is_not_blamed_for_a_later_one() -> None:
    earlier = UpstreamFailed("busy", failure=FailureClass.OVERLOADED, status=503)
    earlier.__cause__ = answered(503)
    assert upstream_failed(under(RuntimeError("odd"), earlier)).failure is FailureClass.UPSTREAM_ERROR


@pytest.mark.parametrize(
    ("error", "streaming", "content_seen", "expected"),
    [
        (httpx.ConnectError("refused"), False, False, FailureClass.TRANSPORT),
        (ConnectionResetError("reset"), False, False, FailureClass.TRANSPORT),
        (httpx.ReadError("cut"), True, False, FailureClass.TRUNCATED),
        (httpx.RemoteProtocolError("cut"), True, True, FailureClass.TRUNCATED),
        (httpx.ConnectTimeout("late"), False, False, FailureClass.TIMEOUT),
        (TimeoutError(), False, False, FailureClass.TIMEOUT),
        (httpx.ReadTimeout("late"), True, False, FailureClass.TIMEOUT_FIRST_TOKEN),
        (httpx.ReadTimeout("late"), True, True, FailureClass.STALL),
        (json.JSONDecodeError("bad", "{", 0), True, True, FailureClass.TRUNCATED),
        (json.JSONDecodeError("bad", "{", 0), False, False, FailureClass.BAD_REQUEST),
        (TypeError("'int' object is not iterable"), False, False, FailureClass.BAD_REQUEST),
        (RecursionError("too deep"), False, False, FailureClass.BAD_REQUEST),
        (KeyError("role"), False, False, FailureClass.BAD_REQUEST),
        (KeyError("choices"), True, False, FailureClass.UPSTREAM_ERROR),
        (RecursionError("too deep"), True, True, FailureClass.UPSTREAM_ERROR),
        (RuntimeError("odd"), False, False, FailureClass.UPSTREAM_ERROR),
    ],
)
def test_without_an_answer_the_moment_of_the_failure_decides(
    error: Exception, streaming: bool, content_seen: bool, expected: FailureClass
) -> None:
    assert upstream_failed(error, streaming=streaming, content_seen=content_seen).failure is expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("registry.ollama.ai/library/phi3 does not support tools", FailureClass.CAPABILITY),
        ("this model doesn't support image input", FailureClass.CAPABILITY),
        ("the request exceeds the available context size", FailureClass.CONTEXT_LENGTH),
        ("temperature must be below 2", FailureClass.BAD_REQUEST),
    ],
)
def test_a_400_is_told_apart_by_its_words_where_no_type_does(words: str, expected: FailureClass) -> None:
    assert upstream_failed(under(ValueError("odd"), answered(400, body=words))).failure is expected


@pytest.mark.parametrize(
    ("words", "count"),
    [
        ("maximum context length is 4096 tokens. However, your messages resulted in 5000 tokens.", 5000),
        ("prompt is too long: 210000 tokens > 200000 maximum", 210_000),
        ("the input exceeds the context length", None),
    ],
)
def test_the_length_that_upstream_counted_is_read_from_its_words(words: str, count: int | None) -> None:
    error = load_library().module.exceptions.ContextWindowExceededError(message=words, model="m", llm_provider="p")
    failed = upstream_failed(error)
    assert (failed.failure, failed.prompt_tokens) == (FailureClass.CONTEXT_LENGTH, count)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"Retry-After": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "1500", "retry-after": "2"}, 1.5),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after-ms": "nan"}, None),
        ({"retry-after": LATER, "date": DATE}, 45.0),
        ({"retry-after": DATE, "date": LATER}, 0.0),
        ({"retry-after": LATER}, None),
        ({"retry-after": "soon", "date": DATE}, None),
    ],
)
def test_retry_after_is_read_as_seconds_milliseconds_or_date(headers: dict[str, str], expected: float | None) -> None:
    assert retry_after_s(headers) == expected


def test_a_value_that_litellm_cannot_work_with_is_told_without_its_traceback() -> None:
    error = load_library().module.exceptions.APIConnectionError(
        message="'int' object has no attribute 'get'\nTraceback (most recent call last):\n  File",
        model="m",
        llm_provider="p",
    )
    failed = upstream_failed(under(error, AttributeError("get")))
    assert (failed.failure, str(failed)) == (FailureClass.BAD_REQUEST, "'int' object has no attribute 'get'")


@pytest.mark.parametrize("keyed", [True, False])
def test_an_account_without_credit_is_a_spent_quota(*, keyed: bool) -> None:
    assert upstream_failed(answered(402), keyed=keyed).failure is FailureClass.RATE_LIMIT


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_was_not_sent_cannot_have_been_refused(status: int) -> None:
    assert upstream_failed(answered(status), keyed=False).failure is FailureClass.UPSTREAM_ERROR
    assert upstream_failed(answered(status)).failure is FailureClass.AUTH


def test_a_redirect_is_named_as_one() -> None:
    failed = upstream_failed(answered(307))
    assert (failed.failure, failed.status) == (FailureClass.UPSTREAM_ERROR, 307)
    assert str(failed) == "the provider answered with a redirect, which is not followed"


def test_the_names_that_litellm_puts_before_a_message_are_left_out() -> None:
    error = RuntimeError("litellm.RateLimitError: RateLimitError: OpenAIException - slow down: 3 s")
    assert str(upstream_failed(error)) == "slow down: 3 s"
    assert str(upstream_failed(RuntimeError())) == "RuntimeError"
