"""LiteLLM's chunks as plain mappings."""

import orjson
import pytest

from gateway.backend.chunks import ends, has_content, plain_chunk
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


def a_chunk(**fields: object) -> object:
    load_library()
    from litellm.types.utils import ModelResponseStream

    return ModelResponseStream(id="c1", created=1, model="m", **fields)


def test_a_delta_keeps_the_fields_of_the_wire_and_a_null_finish_reason() -> None:
    plain = plain_chunk(a_chunk(choices=[{"index": 0, "delta": {"role": "assistant", "content": "Hi"}}]))
    assert plain == {
        "id": "c1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "delta": {"role": "assistant", "content": "Hi"}, "finish_reason": None}],
    }


def test_the_chunk_with_the_usage_has_no_choices() -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    plain = plain_chunk(a_chunk(choices=[{"index": 0, "delta": {}}], usage=usage))
    assert plain["choices"] == []
    shown = plain["usage"]
    assert isinstance(shown, dict)
    assert {name: shown[name] for name in usage} == usage


def nested(depth: int) -> list[object]:
    inner: list[object] = []
    for _ in range(depth):
        inner = [inner]
    return inner


def test_half_a_character_becomes_a_question_mark() -> None:
    plain = plain_chunk(a_chunk(choices=[{"index": 0, "delta": {"content": "\ud800 Hi"}}]))
    assert orjson.loads(orjson.dumps(plain))["choices"][0]["delta"]["content"] == "? Hi"


def test_a_count_beyond_64_bits_is_left_out() -> None:
    usage = {"prompt_tokens": 2**70, "completion_tokens": 2, "total_tokens": 2**63 - 1}
    shown = orjson.loads(orjson.dumps(plain_chunk(a_chunk(choices=[], usage=usage))))["usage"]
    assert "prompt_tokens" not in shown
    assert (shown["completion_tokens"], shown["total_tokens"]) == (2, 2**63 - 1)


def test_a_deep_field_that_is_not_of_the_wire_does_no_harm() -> None:
    plain = plain_chunk(a_chunk(choices=[{"index": 0, "delta": {"content": "Hi", "extra": nested(300)}}]))
    choices = plain["choices"]
    assert isinstance(choices, list)
    assert choices[0]["delta"] == {"content": "Hi"}


def test_what_is_nested_too_deeply_is_cut_off() -> None:
    plain = plain_chunk(a_chunk(choices=[{"index": 0, "delta": {"content": "Hi"}}], service_tier=nested(100)))
    assert orjson.dumps(plain["service_tier"]).count(b"[") == 63


def test_a_chunk_that_cannot_be_read_is_a_failure_of_upstream() -> None:
    class Unreadable:
        def model_dump(self, **_: object) -> dict[str, object]:
            raise ValueError("Maximum serialization depth exceeded")

    with pytest.raises(UpstreamFailed, match="a chunk of the answer cannot be read") as caught:
        plain_chunk(Unreadable())
    assert caught.value.failure is FailureClass.UPSTREAM_ERROR


def test_a_finish_reason_ends_an_answer() -> None:
    assert ends(a_chunk(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}]))
    assert not ends(a_chunk(choices=[{"index": 0, "delta": {"content": "Hi"}}]))


@pytest.mark.parametrize(
    ("delta", "expected"),
    [
        ({"content": "Hi"}, True),
        ({"reasoning_content": "hm"}, True),
        ({"tool_calls": [{"index": 0}]}, True),
        ({"role": "assistant", "content": ""}, False),
        ({}, False),
    ],
)
def test_content_is_text_reasoning_or_a_tool_call(delta: dict[str, object], expected: bool) -> None:
    assert has_content({"choices": [{"delta": delta}]}) is expected
