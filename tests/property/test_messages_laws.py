"""Laws of the Messages API: a stream adds up to the whole answer, and every request is refused or can be served."""

from contextlib import suppress
from typing import Any

import anthropic
import httpx
import orjson
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.messages_request import chat_body
from gateway.api.messages_wire import MessagesWire
from gateway.errors import BadRequest
from gateway.relay.event import Event, EventKind
from gateway.relay.gather import Gathered
from gateway.relay.ollama_wire import native_request
from gateway.relay.request import ChatRequest

HI: list[anthropic.types.MessageParam] = [{"role": "user", "content": "Hi"}]

texts = st.text(max_size=6)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
objects = st.dictionaries(texts, json_values, max_size=3).map(lambda value: orjson.dumps(value).decode())
cut_off = st.tuples(objects, st.integers(0, 20)).map(lambda pair: pair[0][: pair[1]])
arguments = objects | cut_off | st.sampled_from(["", " ", "none", "[1]", '"x"', "{} "])
calls = st.lists(st.tuples(st.text(min_size=1, max_size=6), arguments, st.integers(0, 10)), max_size=3)
speech = st.tuples(st.sampled_from(["reasoning_content", "content"]), texts)
steps = st.lists(speech | st.sampled_from([0, 1, 2]), max_size=12)
finishes = st.sampled_from(["stop", "length", "tool_calls", "content_filter"])
usages = st.none() | st.fixed_dictionaries(
    {"prompt_tokens": st.integers(0, 999), "completion_tokens": st.integers(0, 999)},
    optional={"prompt_tokens_details": st.fixed_dictionaries({"cached_tokens": st.integers(0, 99)})},
)


def chunks_of(told: list[Any], asked: list[tuple[str, str, int]], finish: str) -> list[dict[str, Any]]:
    """The chunks of an answer: ``told`` in order, where a number is the next piece of that call, then what is left of them."""
    pieces = [[text[:cut], text[cut:]] for _, text, cut in asked]
    slots: dict[int, int] = {}
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    for step in [*told, *(number for number in range(len(asked)) for _ in range(2))]:
        if not isinstance(step, int):
            deltas.append({step[0]: step[1]})
        elif step < len(asked) and pieces[step]:
            piece: dict[str, Any] = {"arguments": pieces[step].pop(0)}
            begins = step not in slots
            slot = slots.setdefault(step, len(slots))
            head: dict[str, Any] = {"id": f"call_{step}"} if begins else {}
            if begins:
                piece["name"] = asked[step][0]
            call: dict[str, Any] = {"index": slot, **head, "function": piece}
            deltas.append({"tool_calls": [call]})
    choices: list[dict[str, Any]] = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    choices.append({"index": 0, "delta": {}, "finish_reason": finish})
    return [{"id": "chatcmpl-1", "model": "lab:m", "choices": [choice]} for choice in choices]


def a_wire() -> MessagesWire:
    return MessagesWire(answer_id="msg_1", model="m")


def client_of(answers: list[httpx.Response]) -> anthropic.Anthropic:
    transport = httpx.MockTransport(lambda _: answers.pop())
    return anthropic.Anthropic(api_key="x", max_retries=0, http_client=httpx.Client(transport=transport))


ANSWERS: list[httpx.Response] = []
CLIENT = client_of(ANSWERS)


def from_stream(chunks: list[dict[str, Any]], usage: dict[str, int] | None) -> anthropic.types.Message:
    wire = a_wire()
    counted = None if usage is None else {"choices": [], "usage": usage}
    data = b"".join(wire.events([Event(EventKind.CONTENT, chunk)]) for chunk in chunks) + wire.ending(counted)
    ANSWERS.append(httpx.Response(200, content=data, headers={"content-type": "text/event-stream"}))
    with CLIENT.messages.stream(model="m", max_tokens=1, messages=HI) as stream:
        return stream.get_final_message()


def from_whole(chunks: list[dict[str, Any]], usage: dict[str, int] | None) -> anthropic.types.Message:
    whole = Gathered()
    for chunk in chunks:
        whole.add(chunk)
    if usage is not None:
        whole.add({"choices": [], "usage": usage})
    body = a_wire().whole(whole.completion())
    ANSWERS.append(httpx.Response(200, content=body, headers={"content-type": "application/json"}))
    return CLIENT.messages.create(model="m", max_tokens=1, messages=HI)


def blocks(message: anthropic.types.Message) -> list[tuple[Any, ...]]:
    told: list[tuple[Any, ...]] = []
    for block in message.content:
        if isinstance(block, anthropic.types.ToolUseBlock):
            told.append((block.type, block.id, block.name, block.input))
        elif isinstance(block, anthropic.types.ThinkingBlock):
            told.append((block.type, block.thinking, block.signature))
        else:
            assert isinstance(block, anthropic.types.TextBlock)
            told.append((block.type, block.text))
    return told


def by_kind(message: anthropic.types.Message) -> tuple[Any, ...]:
    told = blocks(message)
    thinking = "".join(block[1] for block in told if block[0] == "thinking")
    return (
        thinking,
        "".join(block[1] for block in told if block[0] == "text"),
        [block for block in told if block[0] == "tool_use"],
    )


def facts(message: anthropic.types.Message) -> tuple[Any, ...]:
    return message.id, message.role, message.model, message.stop_reason, message.stop_sequence, message.usage.to_dict()


@given(steps, calls, finishes, usages)
def test_a_stream_adds_up_to_the_whole_answer(
    told: list[Any], asked: list[tuple[str, str, int]], finish: str, usage: dict[str, int] | None
) -> None:
    chunks = chunks_of(told, asked, finish)
    stream, whole = from_stream(chunks, usage), from_whole(chunks, usage)
    assert by_kind(stream) == by_kind(whole)
    assert facts(stream) == facts(whole)


@given(st.lists(speech, max_size=8), calls, finishes)
def test_an_answer_in_the_usual_order_has_the_same_blocks_both_ways(
    told: list[tuple[str, str]], asked: list[tuple[str, str, int]], finish: str
) -> None:
    chunks = chunks_of(sorted(told, key=lambda one: one[0], reverse=True), asked, finish)
    assert blocks(from_stream(chunks, None)) == blocks(from_whole(chunks, None))


@given(steps, calls)
def test_blocks_never_overlap(told: list[Any], asked: list[tuple[str, str, int]]) -> None:
    wire = a_wire()
    data = b"".join(wire.events([Event(EventKind.CONTENT, chunk)]) for chunk in chunks_of(told, asked, "stop"))
    lines = [line for line in (data + wire.ending(None)).split(b"\n") if line.startswith(b"data: ")]
    events = [orjson.loads(line.removeprefix(b"data: ")) for line in lines]
    kinds = [event["type"] for event in events if event["type"] != "ping"]
    assert (kinds[0], kinds[-2:]) == ("message_start", ["message_delta", "message_stop"])
    opened: int | None = None
    count = 0
    for event in events:
        if event["type"] == "content_block_start":
            assert (opened, event["index"]) == (None, count)
            opened, count = event["index"], count + 1
        elif event["type"] == "content_block_delta":
            assert event["index"] == opened
        elif event["type"] == "content_block_stop":
            assert event["index"] == opened
            opened = None
    assert opened is None


@given(st.lists(speech, max_size=5), st.lists(st.tuples(st.text(min_size=1), objects, st.just(0)), max_size=3))
def test_an_answer_comes_back_as_history_as_it_was(
    told: list[tuple[str, str]], asked: list[tuple[str, str, int]]
) -> None:
    chunks = chunks_of(told, asked, "stop")
    whole = Gathered()
    for chunk in chunks:
        whole.add(chunk)
    completion: Any = whole.completion()
    said = completion["choices"][0]["message"]
    content = orjson.loads(a_wire().whole(completion))["content"]
    turns = [*HI, {"role": "assistant", "content": content}]
    message: Any = chat_body({"model": "m", "max_tokens": 1, "messages": turns})["messages"]
    assert (message[1]["content"] or "") == (said["content"] or "")
    assert message[1].get("reasoning_content", "") == said.get("reasoning_content", "")
    functions = [(one["id"], one["function"]["name"]) for one in said.get("tool_calls", [])]
    assert [(one["id"], one["function"]["name"]) for one in message[1].get("tool_calls", [])] == functions
    inputs = [orjson.loads(one["function"]["arguments"]) for one in said.get("tool_calls", [])]
    assert [orjson.loads(one["function"]["arguments"]) for one in message[1].get("tool_calls", [])] == inputs


def sometimes(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Mostly what it should be, at times anything."""
    return strategy | strategy | strategy | json_values


KINDS = ("text", "image", "tool_result", "tool_use", "thinking", "redacted_thinking", "document", "x")
odd_blocks = st.fixed_dictionaries(
    {"type": sometimes(st.sampled_from(KINDS))},
    optional={
        "text": sometimes(texts),
        "thinking": sometimes(texts),
        "id": sometimes(texts),
        "name": sometimes(texts),
        "input": sometimes(st.dictionaries(texts, json_values, max_size=2)),
        "tool_use_id": sometimes(texts),
        "is_error": sometimes(st.booleans()),
        "content": sometimes(texts),
        "source": sometimes(
            st.sampled_from(
                [
                    {"type": "base64", "media_type": "image/png", "data": "aGk="},
                    {"type": "url", "url": "https://example.org/a.png"},
                ]
            )
        ),
    },
)
odd_messages = st.lists(
    st.fixed_dictionaries(
        {
            "role": st.sampled_from(["user", "assistant", "system"]),
            "content": texts | st.lists(odd_blocks, max_size=3) | json_values,
        }
    ),
    max_size=3,
)
FIELDS = (
    "system",
    "temperature",
    "top_p",
    "top_k",
    "stop_sequences",
    "stream",
    "tools",
    "tool_choice",
    "thinking",
    "output_config",
    "output_format",
    "metadata",
    "container",
    "mcp_servers",
    "inference_geo",
    "fallbacks",
    "max_tokens",
    "messages",
)


@given(odd_messages, st.dictionaries(st.sampled_from(FIELDS), json_values, max_size=3))
def test_a_request_is_refused_in_its_own_terms_or_can_be_served(
    messages: list[dict[str, Any]], fields: dict[str, Any]
) -> None:
    content = {"model": "m", "max_tokens": 1, "messages": messages, **fields}
    refused: BadRequest | None = None
    chat: dict[str, object] = {}
    try:
        chat = chat_body(content)
    except BadRequest as exc:
        refused = exc
    if refused is not None:
        assert refused.param is not None
        assert refused.param.partition(".")[0].partition("[")[0] in FIELDS
        return
    request = ChatRequest.of(orjson.loads(orjson.dumps(chat)))
    assert request.needs.prompt_tokens > 0
    native_request(request.body, model="m", context_tokens=4096, thinks=True)


@given(st.binary(max_size=60) | json_values.map(orjson.dumps))
def test_no_completion_is_too_odd(data: bytes) -> None:
    with suppress(orjson.JSONDecodeError):
        odd = orjson.loads(data)
        wire = a_wire()
        for told in (
            {"choices": odd},
            {"choices": [{"delta": odd, "message": odd, "finish_reason": odd}], "usage": odd},
        ):
            wire.events([Event(EventKind.CONTENT, told)])
            assert orjson.loads(a_wire().whole(told))["type"] == "message"
        assert wire.ending({"usage": odd})
