"""Laws of the Responses wire: streamed or whole, an answer is the same, and what was answered can be said again."""

from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.responses import Responses
from gateway.api.responses_items import messages_of
from gateway.errors import BadRequest
from gateway.relay.gather import Gathered
from responses_builders import USAGE, a_call, a_chunk, streamed, whole

texts = st.text(max_size=6)
words = st.text(min_size=1, max_size=6)
tokens = st.fixed_dictionaries({"token": texts, "logprob": st.floats(-9, 0), "bytes": st.none() | st.just([1])})
finishes = st.sampled_from(["stop", "length", "content_filter", "tool_calls"])
usages = st.none() | st.just(USAGE)
asks = st.sampled_from([{}, {"include": ["message.output_text.logprobs"]}])

thoughts = st.lists(texts.map(lambda text: a_chunk({"reasoning_content": text, "reasoning": text})), max_size=3)
said = st.lists(
    st.tuples(texts, st.none() | st.lists(tokens, max_size=2)).map(
        lambda told: a_chunk({"content": told[0]}, logprobs=told[1])
    ),
    max_size=4,
)
refused = st.lists(texts.map(lambda text: a_chunk({"refusal": text})), max_size=2)


@st.composite
def called(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Pieces of calls that alternate; each call begins after those before it, with its id and name."""
    chunks: list[dict[str, Any]] = []
    begun = 0
    by_id = draw(st.booleans())
    for wanted, piece in draw(st.lists(st.tuples(st.integers(0, 3), texts), max_size=8)):
        slot = min(wanted, begun)
        first = slot == begun
        begun += first
        call_id = f"c{slot}" if first or by_id else ""
        chunks.append(a_chunk(a_call(piece, index=None if by_id else slot, call_id=call_id, name="f" if first else "")))
    return chunks


@st.composite
def in_order(draw: st.DrawFn) -> list[dict[str, Any]]:
    """An answer as a model gives it: reasoning, text, calls."""
    head = [a_chunk({"role": "assistant", "content": ""})] if draw(st.booleans()) else []
    parts = [*draw(thoughts), *draw(said), *draw(refused), *draw(called())]
    return [*head, *parts, a_chunk(finish=draw(finishes))]


def odd_answers(calls: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Pieces in any order, among them pieces of calls."""
    return st.lists(
        st.one_of(
            texts.map(lambda text: a_chunk({"reasoning_content": text})),
            texts.map(lambda text: a_chunk({"content": text})),
            texts.map(lambda text: a_chunk({"refusal": text})),
            calls.map(a_chunk),
            st.builds(lambda text, call: a_chunk({"content": text, **call}), texts, calls),
            finishes.map(lambda reason: a_chunk(finish=reason)),
        ),
        max_size=12,
    )


names = st.sampled_from(["", "f"])
by_index = st.builds(
    lambda piece, index, known, name: a_call(piece, index=index, call_id=f"c{index}" if known else "", name=name),
    texts,
    st.integers(0, 2),
    st.booleans(),
    names,
)
by_id = st.builds(
    lambda piece, call_id, name: a_call(piece, index=None, call_id=call_id, name=name),
    texts,
    st.sampled_from(["", "c0", "c1", "c2"]),
    names,
)
in_any_order = odd_answers(by_index) | odd_answers(by_id)


@given(in_order(), usages, asks)
def test_a_streamed_answer_is_the_whole_answer(
    chunks: list[dict[str, Any]], usage: dict[str, Any] | None, request: dict[str, Any]
) -> None:
    last = streamed(chunks, usage=usage, **request)[-1]
    assert last["response"] == whole(chunks, usage=usage, **request)
    assert last["type"] == f"response.{last['response']['status']}"


@given(in_any_order)
def test_whatever_the_order_of_its_pieces_the_same_is_said(chunks: list[dict[str, Any]]) -> None:
    assert substance(streamed(chunks)[-1]["response"]) == substance(whole(chunks))


@given(st.one_of(in_order(), in_any_order), usages, asks)
def test_the_events_add_up_to_the_response_they_end_with(
    chunks: list[dict[str, Any]], usage: dict[str, Any] | None, request: dict[str, Any]
) -> None:
    events = streamed(chunks, usage=usage, **request)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert [event["type"] for event in events[:2]] == ["response.created", "response.in_progress"]
    assert added_up(events[2:-1]) == events[-1]["response"]["output"]


@given(in_order())
def test_what_was_answered_is_the_same_message_when_it_is_said_again(chunks: list[dict[str, Any]]) -> None:
    gathered = Gathered()
    for chunk in chunks:
        gathered.add(chunk)
    choices: Any = gathered.completion()["choices"]
    message = choices[0]["message"]
    response = whole(chunks)
    asked: list[Any] = [{"role": "user", "content": "Hi"}, *response["output"]]
    again: list[Any] = messages_of(asked, instructions=None)[1:]
    if not any(item["type"] != "reasoning" for item in response["output"]):
        assert again == []
        return
    assert len(again) == 1
    assert again[0].get("reasoning_content", "") == message.get("reasoning_content", "")
    assert text_of(again[0]["content"], "text") == (message["content"] or "")
    assert text_of(again[0]["content"], "refusal") == (message["refusal"] or "")
    assert again[0].get("tool_calls") == message.get("tool_calls")


odd_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 3)
    | st.sampled_from(["", "x", "function", "user", "text", "json_schema"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["type", "role", "content", "name", "text", "format", "id"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)
odd_parts = st.fixed_dictionaries(
    {
        "type": st.sampled_from(
            ["input_text", "output_text", "refusal", "input_image", "input_audio", "input_file", "x"]
        )
    },
    optional=dict.fromkeys(("text", "refusal", "image_url", "detail", "file_id", "input_audio"), odd_values),
)
odd_items = st.fixed_dictionaries(
    {"type": st.sampled_from(["message", "function_call", "function_call_output", "reasoning", "item_reference", "x"])},
    optional={
        "role": st.sampled_from(["user", "assistant", "system", "tool"]),
        **{key: odd_values | st.lists(odd_parts, max_size=2) for key in ("content", "output", "summary")},
        **dict.fromkeys(("call_id", "name", "arguments"), odd_values),
    },
)
odd_requests = st.fixed_dictionaries(
    {"model": st.just("m"), "input": st.just("Hi") | odd_values | st.lists(odd_items | odd_values, max_size=3)},
    optional=dict.fromkeys(
        (
            "instructions",
            "tools",
            "tool_choice",
            "text",
            "reasoning",
            "include",
            "metadata",
            "stream",
            "truncation",
            "max_output_tokens",
            "top_logprobs",
            "user",
            "background",
            "prompt",
        ),
        odd_values,
    ),
)


@given(odd_requests)
def test_a_request_is_understood_or_the_field_at_fault_is_named(content: dict[str, Any]) -> None:
    complaint = complaint_of(content)
    if complaint is not None:
        assert complaint.param is not None
        assert complaint.param.partition("[")[0].partition(".")[0] in content
        assert complaint.message.startswith(f"{complaint.param}: ")


def complaint_of(content: dict[str, Any]) -> BadRequest | None:
    try:
        Responses().asked(orjson.dumps(content))
    except BadRequest as error:
        return error
    return None


def text_of(content: Any, kind: str) -> str:
    parts = content if isinstance(content, list) else [{"type": "text", "text": content or ""}]
    return "".join(part[kind] for part in parts if part["type"] == kind)


def substance(response: dict[str, Any]) -> dict[str, Any]:
    """What an answer says, without how it is divided into items."""
    parts = [part for item in response["output"] for part in item.get("content", ())]
    calls = [item for item in response["output"] if item["type"] == "function_call"]
    return {
        "status": response["status"],
        "why": response["incomplete_details"],
        **{
            kind: "".join(part.get("text", part.get("refusal")) for part in parts if part["type"] == kind)
            for kind in ("output_text", "refusal", "reasoning_text")
        },
        "calls": sorted(
            (call["name"], call["arguments"], "" if call["call_id"].startswith("call_") else call["call_id"])
            for call in calls
        ),
    }


def added_up(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The output that a client puts together from the events, with what the wire promises of their order checked."""
    output: list[dict[str, Any]] = []
    done: list[int] = []
    for event in events:
        kind = event["type"].removeprefix("response.")
        place = event["output_index"]
        if kind == "output_item.added":
            assert place == len(output)
            assert event["item"]["status"] == "in_progress"
            assert not event["item"].get("content")
            assert not event["item"].get("arguments")
            output.append(event["item"])
            continue
        assert place not in done
        item = output[place]
        if kind == "output_item.done":
            assert event["item"] == {**item, "status": event["item"]["status"]}
            output[place] = event["item"]
            done.append(place)
            continue
        assert event["item_id"] == item["id"]
        if kind == "content_part.added":
            assert event["content_index"] == len(item["content"])
            item["content"].append(event["part"])
        elif kind == "content_part.done":
            assert event["part"] == item["content"][-1]
        elif kind == "function_call_arguments.delta":
            item["arguments"] += event["delta"]
        elif kind == "function_call_arguments.done":
            assert (event["name"], event["arguments"]) == (item["name"], item["arguments"])
        else:
            part = item["content"][-1]
            assert event["content_index"] == len(item["content"]) - 1
            assert kind.startswith(part["type"])
            key = "refusal" if part["type"] == "refusal" else "text"
            if kind.endswith(".delta"):
                part[key] += event["delta"]
                part.get("logprobs", []).extend(event.get("logprobs", ()))
            else:
                assert {name: event[name] for name in (key, "logprobs") if name in part} == {
                    name: part[name] for name in (key, "logprobs") if name in part
                }
    assert sorted(done) == list(range(len(output)))
    return output
