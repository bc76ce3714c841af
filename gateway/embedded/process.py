"""One child process of the embedded engine, from its start to its end."""

import asyncio
import contextlib
import json
import secrets
import signal
import sys
from collections import deque
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from gateway.domain.ports import Endpoint
from gateway.domain.secret import Secret
from gateway.errors import EngineUnavailable

_CHILD: Final = Path(__file__).with_name("child.py")
_TERMINATE_GRACE_S: Final = 5.0
_LAST_WORDS_LINES: Final = 6
_LINE_CHARACTERS: Final = 200
_READ_BYTES: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a child is to serve. ``context_tokens`` is per slot, ``trained_tokens`` the most that makes sense, if known."""

    path: Path
    context_tokens: int
    trained_tokens: int | None
    parallel: int
    threads: int
    gpu_layers: int


class ChildProcess:
    """Starts a child, waits until it answers, keeps its last words, and ends it.

    ``start`` is called once; ``end`` and ``drain`` at any time, before and during ``start`` too. Belongs to one event loop.
    """

    def __init__(self, *, name: str, provider: str) -> None:
        self.name = name
        self._dismissed = False
        self._provider = provider
        self._key = Secret(secrets.token_urlsafe(32))
        self._process: asyncio.subprocess.Process | None = None
        self._listener: asyncio.Task[None] | None = None
        self._tail: deque[str] = deque(maxlen=_LAST_WORDS_LINES)
        self._job: Job | None = None
        self._url = ""

    @property
    def alive(self) -> bool:
        """Whether the process runs, as far as is known now."""
        return self._process is not None and self._process.returncode is None

    def dismissed(self) -> bool:
        """Whether it was told to go, so that its end is no accident."""
        return self._dismissed

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    @property
    def endpoint(self) -> Endpoint:
        """Where it answers; meaningful once ``start`` has returned."""
        return Endpoint(base_url=f"{self._url}/v1", model=self.name, key=self._key)

    @property
    def context_tokens(self) -> int | None:
        """Room per slot, ``None`` before ``start``."""
        return self._job.context_tokens if self._job is not None else None

    def holds(self, context_tokens: int | None) -> bool:
        """Whether it has room for ``context_tokens``, or for all that the model was trained with."""
        if self._job is None:
            return False
        most_tokens = self._job.trained_tokens
        return (
            context_tokens is None
            or context_tokens <= self._job.context_tokens
            or (most_tokens is not None and most_tokens <= self._job.context_tokens)
        )

    async def start(self, job: Job, *, deadline_s: float) -> None:
        """Spawn the process and wait until its server answers.

        Raises ``EngineUnavailable`` when it cannot be spawned, does not load the model within ``deadline_s``, or is dismissed
        meanwhile. No process is left behind then.
        """
        if self.dismissed():
            raise self._stopped()
        self._job = job
        try:
            # By its path, and without that folder on the import path: the child must not depend on where this package is
            # importable from, nor find its modules by accident.
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                str(_CHILD),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                # Ctrl-C in a terminal goes to the whole group; the gateway drains first and ends its children itself.
                start_new_session=True,
            )
        except OSError as error:
            raise self._failure(f"its process cannot be started: {error}") from error
        self._listener = asyncio.create_task(self._listen(self._process))
        try:
            async with asyncio.timeout(deadline_s):
                self._url = await self._hand_over(self._process, job)
        except TimeoutError as error:
            raise self._failure(f"the model was not loaded within {deadline_s:g} s{self._quoted()}") from error
        finally:
            if not self._url or self.dismissed():
                await self._terminate()
        if self.dismissed():
            raise self._stopped()

    async def wait(self) -> None:
        """Return once the process has ended and its last words are in."""
        if self._process is not None:
            await self._process.wait()
        if self._listener is not None:
            await asyncio.wait([self._listener])

    async def end(self) -> None:
        """End the process: asked first, killed after five seconds. Safe to call at any time and more than once."""
        self._dismissed = True
        await self._terminate()

    async def _terminate(self) -> None:
        process = self._process
        if process is None:
            return
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                async with asyncio.timeout(_TERMINATE_GRACE_S):
                    await process.wait()
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
        if process.stdin is not None:
            process.stdin.close()
        await self.wait()

    def drain(self) -> None:
        """Ask the process to leave by itself once its requests are done."""
        self._dismissed = True
        if self.alive and self._process is not None and self._process.stdin is not None:
            self._process.stdin.write(b"drain\n")

    def last_words(self) -> str:
        """How the process ended, and the end of what it wrote to stderr; empty while it runs in silence."""
        parts = [*self._tail]
        code = self._process.returncode if self._process is not None else None
        if code is not None:
            parts.append(_ending(code))
        return " | ".join(parts)

    async def _hand_over(self, process: asyncio.subprocess.Process, job: Job) -> str:
        """Give the child its job and wait for its address; empty when it was dismissed meanwhile."""
        if self.dismissed():
            return ""
        if process.stdin is None or process.stdout is None:
            raise self._failure("its process has no pipes")
        message = {**asdict(job), "path": str(job.path), "name": self.name, "key": self._key.reveal()}
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            process.stdin.write(json.dumps(message).encode() + b"\n")
            await process.stdin.drain()
        line = await process.stdout.readline()
        answer = json.loads(line) if line.endswith(b"\n") else {}
        if "url" in answer:
            return str(answer["url"])
        await self.wait()
        if self.dismissed():
            return ""
        if "error" in answer:
            raise self._failure(f"llama.cpp did not load {job.path}: {answer['error']}{self._quoted()}")
        raise self._failure(f"its process ended while it loaded {job.path}{self._quoted()}")

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        """Keep the last lines of stderr, however long they are and however many."""
        if process.stderr is None:
            return
        line = b""
        while chunk := await process.stderr.read(_READ_BYTES):
            *lines, line = (line + chunk).split(b"\n")
            for whole in lines:
                self._remember(whole)
            line = line[:_READ_BYTES]
        self._remember(line)

    def _remember(self, line: bytes) -> None:
        text = line.decode("utf-8", errors="replace").strip()
        if text:
            self._tail.append(text[:_LINE_CHARACTERS])

    def _quoted(self) -> str:
        words = self.last_words()
        return f"; its last words: {words}" if words else ""

    def _stopped(self) -> EngineUnavailable:
        return self._failure("it was stopped while it loaded the model")

    def _failure(self, reason: str) -> EngineUnavailable:
        return EngineUnavailable(
            f'the embedded engine cannot serve "{self.name}": {reason}',
            provider=self._provider,
            hint="`rolegate models validate` checks the file; a smaller context or a smaller model takes less memory",
        )


def _ending(code: int) -> str:
    if code >= 0:
        return f"exit status {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    # The kernel's way to reclaim memory looks exactly like this, and leaves no other trace here.
    return f"killed by {name}" + (", perhaps for want of memory" if name == "SIGKILL" else "")
