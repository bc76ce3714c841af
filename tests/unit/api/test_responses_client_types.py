"""What the official client makes of the Responses wire: its own types take every event, and its accumulator the order."""

from typing import Any

import httpx
import openai
import orjson
import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import BaseModel, TypeAdapter

from gateway.errors import BadRequest
from responses_builders import USAGE, a_call, a_chunk, stream_of, streamed, whole

TOKEN = {"token": "Hi", "logprob": -0.5, "bytes": [72, 105], "top_logprobs": []}
REQUEST: dict[str, Any] = {
    "include": ["message.output_text.logprobs"],
    "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": True}],
    "tool_choice": {"type": "function", "name": "f"},
    "reasoning": {"effort": "low"},
    "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}}, "verbosity": "low"},
    "metadata": {"a": "b"},
    "top_logprobs": 1,
}
CHUNKS = [
    a_chunk({"role": "assistant", "content": ""}),
    a_chunk({"reasoning_content": "Hm"}),
    a_chunk({"content": '{"answer":'}, logprobs=[TOKEN]),
    a_chunk({"content": "42}"}),
    a_chunk({"refusal": "No"}),
    a_chunk(a_call("{", call_id="c1", name="f")),
    a_chunk(a_call("[", index=1, call_id="c2", name="f")),
    a_chunk(a_call("}")),
    a_chunk(a_call("]", index=1)),
]
SAID = [*CHUNKS[:4], a_chunk(finish="stop")]


class Answer(BaseModel):
    answer: int


@pytest.mark.parametrize("finish", ["stop", "length"])
def test_every_event_is_one_the_client_knows_with_all_its_fields(finish: str) -> None:
    events = streamed([*CHUNKS, a_chunk(finish=finish)], usage=USAGE, **REQUEST)
    adapter: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
    for event in events:
        assert adapter.validate_python(event, strict=True).type == event["type"]


def test_a_failed_response_is_one_the_client_knows() -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
    for event in streamed(CHUNKS, error=BadRequest("no")):
        assert adapter.validate_python(event, strict=True).type == event["type"]


def test_a_whole_response_is_one_the_client_knows_with_all_its_fields() -> None:
    response = Response.model_validate(whole(SAID, usage=USAGE, **REQUEST), strict=True)
    assert response.output_text == '{"answer":42}'
    assert response.model_extra == {"store": False}


def a_client(body: bytes, *, kind: str) -> openai.OpenAI:
    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=body, headers={"content-type": kind})

    transport = httpx.MockTransport(answer)
    return openai.OpenAI(api_key="k", base_url="http://gateway/v1", http_client=httpx.Client(transport=transport))


def test_the_client_accumulates_the_stream_to_the_whole() -> None:
    with (
        a_client(stream_of(SAID, usage=USAGE), kind="text/event-stream") as client,
        client.responses.stream(model="planner", input="Hi", text_format=Answer) as stream,
    ):
        heard = [event.delta for event in stream if event.type == "response.output_text.delta"]
        final = stream.get_final_response()
    assert heard == ['{"answer":', "42}"]
    assert final.output_parsed == Answer(answer=42)
    assert final.usage is not None
    assert final.usage.total_tokens == 12


def test_the_client_accumulates_calls_that_alternate() -> None:
    chunks = [*CHUNKS, a_chunk(finish="tool_calls")]
    heard: dict[int, str] = {}
    with (
        a_client(stream_of(chunks), kind="text/event-stream") as client,
        client.responses.stream(model="planner", input="Hi") as stream,
    ):
        for event in stream:
            if event.type == "response.function_call_arguments.delta":
                heard[event.output_index] = event.snapshot
    assert heard == {2: "{}", 3: "[]"}


def test_the_client_parses_a_whole_answer() -> None:
    with a_client(orjson.dumps(whole(SAID)), kind="application/json") as client:
        response = client.responses.parse(model="planner", input="Hi", text_format=Answer)
    assert response.output_parsed == Answer(answer=42)
