"""What upstream's refusals mean."""

import orjson
import pytest

from gateway.domain.complaint import complaint
from gateway.domain.failure import FailureClass
from gateway.domain.secret import Secret
from gateway.relay.classify import classify, retry_after

F = FailureClass
OVERFLOW = (
    '{"error":"{\\"error\\":{\\"code\\":400,\\"message\\":\\"request (9000 tokens) exceeds the available context size '
    '(4096 tokens), try increasing it\\",\\"type\\":\\"exceed_context_size_error\\",\\"n_prompt_tokens\\":9000,'
    '\\"n_ctx\\":4096}}"}'
)


@pytest.mark.parametrize(
    ("status", "body", "failure"),
    [
        (400, OVERFLOW, F.CONTEXT_LENGTH),
        (400, '{"error":{"message":"too long","code":"context_length_exceeded"}}', F.CONTEXT_LENGTH),
        (400, '{"error":"the input length exceeds the context length"}', F.CONTEXT_LENGTH),
        (400, '{"error":{"message":"prompt is too long: 210000 tokens > 200000 maximum"}}', F.CONTEXT_LENGTH),
        (400, "the prompt is longer than the context length currently available to the model", F.CONTEXT_LENGTH),
        (400, '{"error":{"message":"no","code":"content_policy_violation"}}', F.CONTENT_POLICY),
        (400, '{"error":{"message":"triggering Azure OpenAI\'s content management policy"}}', F.CONTENT_POLICY),
        (400, '{"error":"registry.ollama.ai/library/x:latest does not support tools"}', F.CAPABILITY),
        (400, '{"error":"\\"x\\" does not support thinking"}', F.CAPABILITY),
        (400, '{"error":"\\"x\\" does not support chat"}', F.CAPABILITY),
        (500, "image input is not supported - hint: if this is unexpected, provide the mmproj", F.CAPABILITY),
        (400, "Multimodal data provided, but model does not support multimodal requests.", F.CAPABILITY),
        (501, "This server does not support embeddings.", F.CAPABILITY),
        (400, '{"error":"invalid think value"}', F.BAD_REQUEST),
        (422, '{"detail":[{"msg":"field required"}]}', F.BAD_REQUEST),
        (413, "", F.BAD_REQUEST),
        (500, '{"error":"option \\"seed\\" must be of type integer"}', F.BAD_REQUEST),
        (500, '{"error":"invalid format: x; expected \\"json\\" or a valid JSON Schema object"}', F.BAD_REQUEST),
        (401, '{"error":"unauthorized"}', F.AUTH),
        (403, "", F.AUTH),
        (402, '{"error":{"message":"Insufficient Balance"}}', F.RATE_LIMIT),
        (404, '{"error":"model \'x\' not found"}', F.GONE),
        (404, "404 page not found", F.GONE),
        (408, "", F.TIMEOUT),
        (429, "", F.RATE_LIMIT),
        (500, '{"error":"llama-server process has terminated: exit status 1: failed to allocate"}', F.LOAD_FAILED),
        (500, '{"error":"model requires more system memory (5 GiB) than is available"}', F.LOAD_FAILED),
        (500, '{"error":"model runner has unexpectedly stopped"}', F.UPSTREAM_ERROR),
        (500, "", F.UPSTREAM_ERROR),
        (502, "<html>Bad gateway</html>", F.UPSTREAM_ERROR),
        (504, "", F.UPSTREAM_ERROR),
        (499, '{"error":"request canceled"}', F.UPSTREAM_ERROR),
        (302, "", F.UPSTREAM_ERROR),
        (503, '{"error":"server busy, please try again.  maximum pending requests exceeded"}', F.OVERLOADED),
        (529, '{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}', F.OVERLOADED),
        (None, '{"error":{"message":"Overloaded","type":"overloaded_error"}}', F.OVERLOADED),
        (None, '{"error":{"message":"slow down","type":"rate_limit_error"}}', F.RATE_LIMIT),
        (None, '{"error":{"message":"gone bad","code":502}}', F.UPSTREAM_ERROR),
        (None, '{"error":"something broke"}', F.UPSTREAM_ERROR),
        (None, OVERFLOW, F.CONTEXT_LENGTH),
    ],
)
def test_status_and_words_give_the_class(status: int | None, body: str, failure: FailureClass) -> None:
    assert classify(status=status, body=body, keyed=True).failure == failure


@pytest.mark.parametrize("status", [None, 500])
def test_an_error_is_told_as_upstreams_wherever_it_stood(status: int | None) -> None:
    failed = classify(status=status, body='{"error":"boom"}', keyed=False)
    assert (failed.status, failed.spoken) == (status, True)


def test_a_refused_key_is_about_the_key_only_where_there_is_one() -> None:
    assert classify(status=403, body="", keyed=False).failure == F.UPSTREAM_ERROR
    assert (
        classify(status=None, body={"error": {"type": "authentication_error"}}, keyed=False).failure == F.UPSTREAM_ERROR
    )


def test_what_a_provider_says_of_a_key_is_not_repeated() -> None:
    failed = classify(status=401, body='{"error":{"message":"Incorrect API key provided: sk-canary"}}', keyed=True)
    assert failed.message == "the provider refused the gateway's key (status 401)"


def test_a_server_that_asks_a_cloud_on_its_own_account_is_quoted() -> None:
    failed = classify(status=401, body='{"error":"unauthorized"}', keyed=True, account=True)
    assert failed.failure == F.AUTH
    assert failed.message == "the server's own cloud account was refused (status 401): unauthorized"


@pytest.mark.parametrize("key", ["sk-canary", 'sk-"canary"\\'])
def test_a_key_is_masked_however_it_was_written_and_before_the_message_is_cut(key: str) -> None:
    body = orjson.dumps({"error": {"message": "x" * 995 + key}})
    assert classify(status=500, body=body, keyed=True, key=Secret(key)).message == "x" * 995 + "*****"


def test_any_server_error_to_a_preload_is_a_failed_load() -> None:
    assert classify(status=500, body="boom", keyed=False, loading=True).failure == F.LOAD_FAILED


@pytest.mark.parametrize(
    ("body", "count"),
    [
        (OVERFLOW, 9000),
        ("maximum context length is 4097 tokens. However, your messages resulted in 5000 tokens.", 5000),
        (
            "maximum context length is 4097 tokens, however you requested 6000 tokens (2000 in the messages, 4000 more)",
            2000,
        ),
        ("prompt is too long: 210000 tokens > 200000 maximum", 210000),
        ("the input is longer than the context length", None),
    ],
)
def test_the_prompt_as_upstream_counted_it_is_kept(body: str, count: int | None) -> None:
    assert classify(status=400, body=body, keyed=False).prompt_tokens == count


def test_an_error_inside_a_string_inside_a_string_is_unwrapped() -> None:
    found = complaint(OVERFLOW)
    assert found.message == "request (9000 tokens) exceeds the available context size (4096 tokens), try increasing it"
    assert found.kinds == ("exceed_context_size_error",)
    assert found.status == 400


@pytest.mark.parametrize(
    "body", [b"\xff\xfe", b"", "{", "[]", "[[[[[[", '{"error":{}}', None, 5, [[]], {"error": [{}]}]
)
def test_no_body_is_too_odd_to_classify(body: object) -> None:
    assert classify(status=500, body=body, keyed=False).failure == F.UPSTREAM_ERROR


def test_a_message_is_cut_and_kept_on_one_line() -> None:
    message = classify(status=500, body="a\n" * 5000, keyed=False).message
    assert len(message) == 1000
    assert "\n" not in message


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("3", 3.0),
        (" 1.5 ", 1.5),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 40.0),
        ("Thu, 01 Jan 1970 00:00:01 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("1e9", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, now_s=60.0) == seconds
