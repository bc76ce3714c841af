"""LiteLLM's chunks as plain mappings."""

import pytest

from gateway.backend.chunks import ends, has_content, plain_chunk
from gateway.backend.library import load_library

pytestmark = [
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
