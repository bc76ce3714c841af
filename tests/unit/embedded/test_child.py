"""The child alone, spoken to over its pipes."""

import http.client
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import gateway.embedded

CHILD = Path(gateway.embedded.__path__[0]) / "child.py"


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        [sys.executable, "-P", str(CHILD)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        yield process
        process.kill()


def job(path: Path, *, parallel: int = 1) -> bytes:
    order = {"path": str(path), "name": "tiny", "key": "k", "context_tokens": 256, "threads": 1, "gpu_layers": 0}
    return json.dumps({**order, "parallel": parallel}).encode() + b"\n"


def tell(process: subprocess.Popen[bytes], line: bytes) -> None:
    assert process.stdin is not None
    process.stdin.write(line)
    process.stdin.flush()


def answer(process: subprocess.Popen[bytes]) -> dict[str, str]:
    assert process.stdout is not None
    told: dict[str, str] = json.loads(process.stdout.readline())
    return told


def slots(url: str) -> list[dict[str, object]]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    connection.request("GET", "/slots", headers={"Authorization": "Bearer k"})
    found: list[dict[str, object]] = json.loads(connection.getresponse().read())
    connection.close()
    return found


def test_it_leaves_when_its_stdin_closes_before_the_job(child: subprocess.Popen[bytes]) -> None:
    output, errors = child.communicate(timeout=60)
    assert (child.returncode, output, errors) == (0, b"", b"")


def test_it_says_one_line_and_leaves_when_its_stdin_closes(child: subprocess.Popen[bytes], tiny_llama: Path) -> None:
    tell(child, job(tiny_llama))
    assert list(answer(child)) == ["url"]
    output, _ = child.communicate(timeout=60)
    assert (child.returncode, output) == (0, b"")


def test_it_listens_on_loopback_only(child: subprocess.Popen[bytes], tiny_llama: Path) -> None:
    tell(child, job(tiny_llama))
    assert urlsplit(answer(child)["url"]).hostname == "127.0.0.1"


def test_each_slot_has_the_whole_context(child: subprocess.Popen[bytes], tiny_llama: Path) -> None:
    tell(child, job(tiny_llama, parallel=3))
    assert [slot["n_ctx"] for slot in slots(answer(child)["url"])] == [256, 256, 256]


def test_it_leaves_by_itself_when_told_to_drain(child: subprocess.Popen[bytes], tiny_llama: Path) -> None:
    tell(child, job(tiny_llama))
    answer(child)
    tell(child, b"drain\n")
    assert child.wait(timeout=60) == 0


def test_a_model_it_cannot_load_is_an_answer_with_the_reason_on_stderr(
    child: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    tell(child, job(tmp_path / "none.gguf"))
    told = answer(child)
    _, errors = child.communicate(timeout=60)
    assert told == {"error": "RuntimeError: Failed to init server, please check the input params."}
    assert child.returncode == 1
    assert b"No such file or directory" in errors
