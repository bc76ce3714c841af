"""The compiled upstream and the compiled clients, against each other: what a benchmark counts is what was sent."""

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.cores import Cores
from bench.measure import CannotMeasure
from bench.programs import PACED_CHUNKS, Programs, Target

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("cc") is None, reason="needs Linux and a C compiler"
)
ANYWHERE = Cores(gateway=None, others=None)


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Programs:
    return Programs(folder=tmp_path_factory.mktemp("programs"), cores=ANYWHERE)


@pytest.fixture
def port(programs: Programs) -> Iterator[int]:
    process, port = programs.upstream()
    try:
        yield port
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/api/chat"])
def test_every_piece_of_a_paced_stream_is_counted_once(programs: Programs, port: int, path: str) -> None:
    body = json.dumps({"model": "paced", "messages": [], "stream": True})
    streams = programs.stream(Target(port=port, path=path, body=body), clients=2, rounds=1)
    assert (streams.taken, streams.broken, streams.chunks) == (2, 0, 2 * PACED_CHUNKS)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/api/chat"])
def test_plain_answers_are_counted_while_the_time_lasts(programs: Programs, port: int, path: str) -> None:
    body = json.dumps({"model": "quick", "messages": [], "stream": False})
    answers = programs.ask(Target(port=port, path=path, body=body), clients=2, seconds=0.1)
    assert answers.per_second > 0
    assert 0 < answers.median_ms <= answers.p99_ms


def test_a_stream_that_is_refused_counts_as_broken(programs: Programs, port: int) -> None:
    streams = programs.stream(Target(port=port, path="/v1/nothing", body="{}"), clients=1, rounds=1)
    assert (streams.taken, streams.broken, streams.chunks) == (1, 1, 0)


def test_an_answer_that_is_no_success_ends_the_measurement(programs: Programs, port: int) -> None:
    target = Target(port=port, path="/v1/nothing", body="{}")
    with pytest.raises(CannotMeasure, match=rf"^\d+ of \d+ requests to port {port} failed$"):
        programs.ask(target, clients=1, seconds=0.05)


def test_without_a_compiler_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CannotMeasure) as caught:
        Programs(folder=tmp_path, cores=ANYWHERE)
    assert str(caught.value) == "there is no C compiler (cc) for the upstream and the clients; install gcc or clang"
