"""The engine with real children: xllamacpp serving a model of half a megabyte."""

import asyncio
import contextlib
import os
import select
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import psutil
import pytest
import uvloop

from fakes.gguf_files import llama_bytes
from gateway.domain.ports import Endpoint
from gateway.embedded.engine import DEFAULT_CONTEXT_TOKENS, Engine, rest_before_restart, spare_cores
from gateway.errors import EngineUnavailable, ModelUnavailable, UnknownName

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="kills processes the POSIX way")

PARENT = """
import asyncio, signal, sys, time
from pathlib import Path

import psutil
from gateway.embedded.engine import Engine

async def main():
    engine = Engine(models={"tiny": Path(sys.argv[1])}, data_folder=Path(sys.argv[1]).parent, clock=time)
    await engine.endpoint("tiny", context_tokens=None)
    print(psutil.Process().children()[0].pid, flush=True)
    await asyncio.Event().wait()

# Whoever runs the tests in the background has it ignored, and that is inherited.
signal.signal(signal.SIGINT, signal.default_int_handler)
asyncio.run(main())
"""


class SteppedClock:
    """Time that moves when told to."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s

    def time(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
async def engine(tiny_llama: Path, tmp_path: Path, clock: SteppedClock) -> AsyncIterator[Engine]:
    async with Engine(models={"tiny": tiny_llama}, data_folder=tmp_path, clock=clock) as started:
        yield started
    assert not children()


def children() -> list[psutil.Process]:
    """The engine's processes that this one started and has not reaped; others may run beside them."""
    return [one for one in psutil.Process().children(recursive=True) if _is_engines(one)]


def _is_engines(process: psutil.Process) -> bool:
    try:
        return "-P" in process.cmdline()
    except psutil.Error:
        return False


async def until(condition: Callable[[], bool]) -> None:
    """Return once ``condition`` holds."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - what it waits for happens in another process
            await asyncio.sleep(0.01)


def ended(pid: int) -> bool:
    """Wait for the end of any process; one that nobody has reaped has ended too."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], 60)[0])
    finally:
        os.close(descriptor)


async def ask(endpoint: Endpoint, *, key: str | None = None) -> httpx.Response:
    assert endpoint.key is not None
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        return await client.post(
            f"{endpoint.base_url}/chat/completions",
            headers={"Authorization": f"Bearer {endpoint.key.reveal() if key is None else key}"},
            json={"model": endpoint.model, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 8},
        )


async def test_a_child_starts_when_asked_for_and_answers(engine: Engine) -> None:
    assert engine.running() == frozenset()
    endpoint = await engine.endpoint("tiny", context_tokens=None)
    answer = await ask(endpoint)
    assert answer.status_code == 200
    assert answer.json()["model"] == "tiny"
    assert answer.json()["usage"]["completion_tokens"] > 0
    assert engine.running() == {"tiny"}


async def test_a_child_answers_nobody_without_its_key_and_does_not_show_it(engine: Engine) -> None:
    endpoint = await engine.endpoint("tiny", context_tokens=None)
    assert (await ask(endpoint, key="guess")).status_code == 401
    assert endpoint.key is not None
    (child,) = children()
    assert endpoint.key.reveal() not in " ".join(child.cmdline())
    assert endpoint.key.reveal() not in " ".join(child.environ().values())
    assert endpoint.key.reveal() not in repr(endpoint)


async def test_callers_at_once_share_one_start(engine: Engine) -> None:
    endpoints = await asyncio.gather(*(engine.endpoint("tiny", context_tokens=None) for _ in range(8)))
    assert len({endpoint.base_url for endpoint in endpoints}) == 1
    assert len(children()) == 1


async def test_a_caller_that_gives_up_does_not_stop_the_start_for_others(engine: Engine) -> None:
    impatient = asyncio.create_task(engine.endpoint("tiny", context_tokens=None))
    patient = asyncio.create_task(engine.endpoint("tiny", context_tokens=None))
    await until(lambda: len(children()) == 1)
    impatient.cancel()
    endpoint = await patient
    assert impatient.cancelled()
    assert (await ask(endpoint)).status_code == 200


async def test_a_start_that_everybody_gave_up_on_still_serves_the_next_caller(engine: Engine) -> None:
    caller = asyncio.create_task(engine.endpoint("tiny", context_tokens=None))
    await until(lambda: len(children()) == 1)
    caller.cancel()
    await until(lambda: engine.running() == {"tiny"})
    await engine.endpoint("tiny", context_tokens=None)
    assert len(children()) == 1


async def test_a_killed_child_is_replaced_for_the_next_caller(engine: Engine) -> None:
    before = await engine.endpoint("tiny", context_tokens=None)
    children()[0].kill()
    await until(lambda: engine.running() == frozenset())
    after = await engine.endpoint("tiny", context_tokens=None)
    assert after.base_url != before.base_url or after.key != before.key
    assert (await ask(after)).status_code == 200


async def test_a_child_that_keeps_dying_is_left_alone_for_a_while(engine: Engine, clock: SteppedClock) -> None:
    for _ in range(3):
        await engine.endpoint("tiny", context_tokens=None)
        children()[0].kill()
        await until(lambda: engine.running() == frozenset())
        clock.now_s += 10
    with pytest.raises(EngineUnavailable) as caught:
        await engine.endpoint("tiny", context_tokens=None)
    assert caught.value.message == (
        'the embedded engine cannot serve "tiny": its process ended 3 times within 60 s; '
        "its last words: killed by SIGKILL, perhaps for want of memory"
    )
    assert caught.value.hint == (
        "it may be started again in 30 s; a smaller context or a smaller model takes less memory"
    )
    clock.now_s += 30
    assert (await ask(await engine.endpoint("tiny", context_tokens=None))).status_code == 200


@pytest.mark.parametrize(
    ("endings_s", "rest_s"),
    [((), 0.0), ((95.0, 99.0), 0.0), ((90.0, 95.0, 99.0), 50.0), ((10.0, 95.0, 99.0), 0.0), ((40.0, 41.0, 42.0), 0.0)],
)
def test_the_third_ending_within_a_minute_brings_a_rest(endings_s: tuple[float, ...], rest_s: float) -> None:
    assert rest_before_restart(endings_s, now_s=100.0) == rest_s


def test_the_gateway_keeps_a_core_where_there_are_several() -> None:
    assert 1 <= spare_cores() <= max(1, (os.cpu_count() or 1) - 1)


async def test_a_larger_context_starts_a_second_child_and_lets_the_first_leave(engine: Engine) -> None:
    small = await engine.endpoint("tiny", context_tokens=256)
    (first,) = children()
    large = await engine.endpoint("tiny", context_tokens=512)
    assert large.base_url != small.base_url
    assert engine.resident()["tiny"][1] == 512
    await until(lambda: first not in children())
    assert (await ask(large)).status_code == 200
    assert engine.running() == {"tiny"}


async def test_a_smaller_context_or_one_beyond_the_training_restarts_nothing(engine: Engine) -> None:
    first = await engine.endpoint("tiny", context_tokens=100_000)
    assert engine.resident()["tiny"][1] == 1024
    for context_tokens in (None, 16, 200_000):
        assert await engine.endpoint("tiny", context_tokens=context_tokens) == first
    assert len(children()) == 1


async def test_without_a_wish_the_context_is_the_default_or_the_trained_one(
    tmp_path: Path, clock: SteppedClock
) -> None:
    path = tmp_path / "long.gguf"
    path.write_bytes(llama_bytes(context_tokens=32_768))
    async with Engine(models={"long": path}, data_folder=tmp_path, clock=clock) as engine:
        await engine.endpoint("long", context_tokens=None)
        assert engine.resident()["long"][1] == DEFAULT_CONTEXT_TOKENS == 8192


async def test_when_the_larger_child_does_not_come_up_the_first_keeps_serving(
    tmp_path: Path, clock: SteppedClock
) -> None:
    path, other = tmp_path / "model.gguf", tmp_path / "other.gguf"
    path.write_bytes(llama_bytes())
    async with Engine(models={"tiny": path}, data_folder=tmp_path, clock=clock) as engine:
        small = await engine.endpoint("tiny", context_tokens=256)
        other.write_bytes(llama_bytes(architecture="nonesuch"))
        other.replace(path)
        with pytest.raises(EngineUnavailable, match="unknown model architecture: 'nonesuch'"):
            await engine.endpoint("tiny", context_tokens=512)
        assert await engine.endpoint("tiny", context_tokens=256) == small
        assert (await ask(small)).status_code == 200


async def test_resident_tells_memory_and_context(engine: Engine) -> None:
    assert engine.resident() == {}
    await engine.endpoint("tiny", context_tokens=512)
    resident_bytes, context_tokens = engine.resident()["tiny"]
    assert resident_bytes > 1024 * 1024
    assert context_tokens == 512


async def test_a_stopped_model_starts_again_when_asked_for(engine: Engine) -> None:
    await engine.endpoint("tiny", context_tokens=None)
    await engine.stop("tiny")
    assert engine.running() == frozenset()
    assert not children()
    assert (await ask(await engine.endpoint("tiny", context_tokens=None))).status_code == 200
    await engine.stop("never started")


async def test_a_model_that_retires_finishes_what_it_answers_and_starts_again_when_asked_for(engine: Engine) -> None:
    endpoint = await engine.endpoint("tiny", context_tokens=None)
    (first,) = children()
    assert endpoint.key is not None
    body = {"model": endpoint.model, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 900}
    async with (
        httpx.AsyncClient(trust_env=False, timeout=60) as client,
        client.stream(
            "POST",
            f"{endpoint.base_url}/chat/completions",
            headers={"Authorization": f"Bearer {endpoint.key.reveal()}"},
            json={**body, "stream": True, "ignore_eos": True},
        ) as answer,
    ):
        lines = answer.aiter_lines()
        await anext(lines)
        retiring = asyncio.create_task(engine.retire("tiny"))
        rest = [line async for line in lines if line]
        assert rest[-1] == "data: [DONE]"
    await retiring
    assert first not in children()
    assert engine.running() == frozenset()
    assert (await ask(await engine.endpoint("tiny", context_tokens=None))).status_code == 200
    await engine.retire("never started")


async def test_stopping_during_the_start_fails_its_callers_and_counts_as_no_accident(engine: Engine) -> None:
    for _ in range(4):
        caller = asyncio.create_task(engine.endpoint("tiny", context_tokens=None))
        await until(lambda: len(children()) == 1)
        await engine.stop("tiny")
        with pytest.raises(EngineUnavailable) as caught:
            await caller
        assert caught.value.message == (
            'the embedded engine cannot serve "tiny": it was stopped while it loaded the model'
        )
    assert not children()


async def test_a_closed_engine_starts_nothing(engine: Engine) -> None:
    await engine.endpoint("tiny", context_tokens=None)
    await engine.close()
    assert not children()
    with pytest.raises(EngineUnavailable, match=r"^the embedded engine has been closed$"):
        await engine.endpoint("tiny", context_tokens=None)


async def test_closing_during_a_start_leaves_nothing(engine: Engine) -> None:
    caller = asyncio.create_task(engine.endpoint("tiny", context_tokens=None))
    await asyncio.sleep(0)
    await engine.close()
    with pytest.raises(EngineUnavailable):
        await caller
    assert not children()


async def test_a_model_that_llama_cpp_refuses_fails_with_its_words(
    strange_llama: Path, tmp_path: Path, clock: SteppedClock
) -> None:
    async with Engine(models={"strange": strange_llama}, data_folder=tmp_path, clock=clock) as engine:
        with pytest.raises(EngineUnavailable) as caught:
            await engine.endpoint("strange", context_tokens=None)
        assert not children()
    message = caught.value.message
    assert message.startswith(
        f'the embedded engine cannot serve "strange": llama.cpp did not load {strange_llama}: '
        "RuntimeError: Failed to init server, please check the input params.; its last words: "
    )
    assert "unknown model architecture: 'nonesuch'" in message
    assert message.endswith("| exit status 1")


async def test_a_model_that_loads_too_slowly_is_given_up(tiny_llama: Path, tmp_path: Path, clock: SteppedClock) -> None:
    models = {"tiny": tiny_llama}
    async with Engine(models=models, data_folder=tmp_path, clock=clock, load_deadline_s=0.001) as engine:
        with pytest.raises(EngineUnavailable) as caught:
            await engine.endpoint("tiny", context_tokens=None)
        assert not children()
    assert caught.value.message == ('the embedded engine cannot serve "tiny": the model was not loaded within 0.001 s')


async def test_without_the_package_it_says_how_to_get_it(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    with pytest.raises(EngineUnavailable) as caught:
        await engine.endpoint("tiny", context_tokens=None)
    assert caught.value.message == "the embedded engine needs the xllamacpp package"
    assert caught.value.hint == "pip install 'rolegate[embedded]'"


async def test_a_missing_file_fails_without_starting_a_process(tmp_path: Path, clock: SteppedClock) -> None:
    async with Engine(models={"smollm2:135m": None}, data_folder=tmp_path, clock=clock) as engine:
        with pytest.raises(ModelUnavailable) as caught:
            await engine.endpoint("smollm2:135m", context_tokens=None)
        assert not children()
    assert caught.value.message == (
        'the embedded model "smollm2:135m" cannot be used: '
        f"the file {tmp_path}/models/SmolLM2-135M-Instruct.Q4_1.gguf does not exist"
    )
    assert caught.value.hint == "fetch it with `rolegate models pull embedded:smollm2:135m`"


async def test_a_name_that_is_not_configured_is_named_with_the_nearest(engine: Engine) -> None:
    with pytest.raises(UnknownName) as caught:
        await engine.endpoint("tinny", context_tokens=None)
    assert caught.value.message == 'there is no embedded model "tinny"; known: tiny'
    assert caught.value.hint == 'did you mean "tiny"?'


async def test_a_child_ignores_the_ctrl_c_of_the_terminal(engine: Engine) -> None:
    await engine.endpoint("tiny", context_tokens=None)
    (child,) = children()
    assert os.getsid(child.pid) != os.getsid(0)


def test_it_works_on_uvloop(tiny_llama: Path, tmp_path: Path, clock: SteppedClock) -> None:
    async def run() -> int:
        async with Engine(models={"tiny": tiny_llama}, data_folder=tmp_path, clock=clock) as engine:
            await engine.endpoint("tiny", context_tokens=None)
            children()[0].kill()
            await until(lambda: engine.running() == frozenset())
            return (await ask(await engine.endpoint("tiny", context_tokens=None))).status_code

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(run()) == 200
    assert not children()


@pytest.mark.skipif(sys.platform != "linux", reason="pidfd")
@pytest.mark.parametrize("deadly", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_child_goes_with_its_parent_however_that_ends(deadly: signal.Signals, tiny_llama: Path) -> None:
    root = Path(__file__).parents[3]
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tiny_llama)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=root,
    ) as parent:
        try:
            assert parent.stdout is not None
            child = int(parent.stdout.readline())
            assert psutil.pid_exists(child)
            parent.send_signal(deadly)
            assert ended(child)
        finally:
            with contextlib.suppress(ProcessLookupError):
                parent.kill()
