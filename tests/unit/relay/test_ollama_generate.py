"""Text completions on Ollama's native wire."""

from dataclasses import replace
from typing import Any

import httpx
import orjson
import pytest

from fakes.ollama import FakeOllama
from fakes.replies import Reply
from gateway.domain.failure import FailureClass
from gateway.errors import UpstreamFailed
from gateway.relay.classify import classify
from gateway.relay.event import Event, EventKind
from gateway.relay.ollama_generate import GenerateReader, generate_request

MODEL = "llama3.1:8b"


def native(*, thinks: bool = False, context_tokens: int | None = 8192, **body: Any) -> dict[str, Any]:
    asked = {"model": "writer", "prompt": "Once", **body}
    return generate_request(asked, model=MODEL, context_tokens=context_tokens, thinks=thinks)


def reader() -> GenerateReader:
    return GenerateReader(answer_id="chatcmpl-1", created=5, model=MODEL)


def line(**fields: Any) -> bytes:
    return orjson.dumps({"model": "x", "done": False, **fields})


def choices(events: list[Event]) -> list[Any]:
    return [choice for event in events if event.chunk for choice in event.chunk["choices"]]  # type: ignore[attr-defined]


async def spoken(fake: FakeOllama, body: dict[str, Any]) -> list[Event]:
    one = reader()
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.post(f"{fake.url}/api/generate", json=body)
    if answer.status_code != 200:
        raise classify(status=answer.status_code, body=answer.content, keyed=False)
    return [event for data in answer.content.splitlines() for event in one.read(data)]


def test_a_request_carries_the_load_profile_and_refuses_to_be_cut() -> None:
    assert native() == {
        "model": MODEL,
        "prompt": "Once",
        "stream": True,
        "truncate": False,
        "options": {"num_ctx": 8192},
    }


def test_sampling_goes_into_the_options_and_load_options_of_the_caller_do_not() -> None:
    asked = native(temperature=0, max_tokens=5, stop="END", seed=3, raw=True, template="x", options={"num_ctx": 1})
    assert asked["options"] == {"temperature": 0, "stop": ["END"], "seed": 3, "num_predict": 5, "num_ctx": 8192}
    assert set(asked) == {"model", "prompt", "stream", "truncate", "options"}


def test_a_suffix_goes_beside_the_prompt() -> None:
    assert native(suffix="the end")["suffix"] == "the end"
    assert "suffix" not in native(suffix="")


def test_log_probabilities_are_asked_for_with_their_alternatives() -> None:
    asked = native(logprobs=3)
    assert (asked["logprobs"], asked["top_logprobs"]) == (True, 3)
    assert native(logprobs=0)["logprobs"] is True
    assert "top_logprobs" not in native(logprobs=0)
    assert "logprobs" not in native()


def test_a_model_that_thinks_does_so_only_when_it_is_asked_to() -> None:
    assert native(thinks=True)["think"] is False
    assert native(thinks=True, reasoning_effort="low")["think"] == "low"
    assert "think" not in native(thinks=False)


def test_lines_become_the_chunks_of_a_chat() -> None:
    one = reader()
    events = one.read(line(response="Hi"))
    events += one.read(line(response="", done=True, done_reason="stop", prompt_eval_count=2, eval_count=1, context=[1]))
    assert [event.kind for event in events] == [
        EventKind.OPENING,
        EventKind.CONTENT,
        EventKind.FINISH,
        EventKind.USAGE,
    ]
    assert [choice["delta"] for choice in choices(events)] == [
        {"role": "assistant", "content": ""},
        {"content": "Hi"},
        {},
    ]
    assert events[-1].chunk is not None
    assert events[-1].chunk["usage"] == {"prompt_tokens": 2, "completion_tokens": 1, "total_tokens": 3}
    assert (one.done, one.skipped) == (True, 0)


def test_thoughts_and_log_probabilities_come_as_in_a_chat() -> None:
    logprobs = [{"token": "Hi", "logprob": -0.1, "bytes": [72, 105]}]
    events = reader().read(line(response="Hi", thinking="hm", logprobs=logprobs))
    assert [choice["delta"] for choice in choices(events)[1:]] == [
        {"reasoning_content": "hm", "reasoning": "hm"},
        {"content": "Hi"},
    ]
    assert choices(events)[2]["logprobs"] == {"content": logprobs}


@pytest.mark.parametrize("bad", [b"{", b"[]", b"5", b"\xff", line(response=5)])
def test_a_line_that_cannot_be_read_is_counted(bad: bytes) -> None:
    one = reader()
    one.read(line(response="Hi"))
    assert [event for event in one.read(bad) if event.kind is EventKind.CONTENT] == []
    assert one.skipped == 1
    assert one.read(b"  ") == []


def test_an_error_line_is_that_error() -> None:
    with pytest.raises(UpstreamFailed) as caught:
        reader().read(b'{"error":"server busy, please try again"}')
    assert caught.value.failure == FailureClass.OVERLOADED
    with pytest.raises(UpstreamFailed):
        reader().read(line(response="", error="model runner has unexpectedly stopped"))


def test_an_end_without_a_reason_is_no_end() -> None:
    with pytest.raises(UpstreamFailed, match='done_reason "load"') as caught:
        reader().read(line(response="", done=True, done_reason="load"))
    assert caught.value.failure == FailureClass.TRUNCATED


async def test_ollama_completes_a_prompt() -> None:
    async with FakeOllama() as fake:
        fake.say(MODEL, Reply(content=("upon", " a", " time")))
        events = await spoken(fake, native(prompt="Once", max_tokens=2, logprobs=2))
    told = choices(events)
    assert "".join(choice["delta"].get("content", "") for choice in told) == "upon a"
    assert told[-1]["finish_reason"] == "length"
    assert [len(one["logprobs"]["content"][0]["top_logprobs"]) for one in told if "logprobs" in one] == [2, 2]


async def test_ollama_fills_in_the_middle_where_the_model_can() -> None:
    async with FakeOllama() as fake:
        with pytest.raises(UpstreamFailed, match="does not support insert") as caught:
            await spoken(fake, native(suffix="the end"))
        assert caught.value.status == 400
        able = replace(fake.models[MODEL], capabilities=(*fake.models[MODEL].capabilities, "insert"))
        fake.models[MODEL] = able
        fake.say(MODEL, lambda body: Reply(content=(body["prompt"], "…", body["suffix"])))
        events = await spoken(fake, native(suffix="the end"))
    assert "".join(choice["delta"].get("content", "") for choice in choices(events)) == "Once…the end"
