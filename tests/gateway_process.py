"""A real `rolegate serve` in a process of its own, for tests that look at it from outside."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

READY_S = 120.0
END_S = 60.0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a command ended with."""

    code: int
    out: str
    err: str


class GatewayProcess:
    """``async with GatewayProcess(folder, config) as gateway:`` writes ``config`` as the folder's models.json, starts the
    gateway and waits until it says ready. ``base_url`` ends in ``/v1``; ``ready`` is what it said; ``log()`` its stderr, which
    has a file of its own. ``launcher`` is a command that runs the command behind it."""

    def __init__(
        self,
        folder: Path,
        config: Mapping[str, object],
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        launcher: Sequence[str] = (),
    ) -> None:
        self.port = free_port()
        self.ready: dict[str, Any] = {}
        self._folder = folder
        self._config_folder = folder / "config"
        self._config_folder.mkdir(parents=True, exist_ok=True)
        (self._config_folder / "models.json").write_text(json.dumps(config), encoding="utf-8")
        self._arguments = arguments
        self._environment = {**os.environ, "ROLEGATE_STATE_DIR": str(folder / "state"), **(environment or {})}
        self._launcher = tuple(launcher)
        self._stderr = folder / "stderr"
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        return f"{self.url}/v1"

    @property
    def state_folder(self) -> Path:
        return self._folder / "state"

    @property
    def pid(self) -> int:
        return self._running.pid

    @property
    def _running(self) -> asyncio.subprocess.Process:
        if self._process is None:
            raise RuntimeError("the gateway is not running")
        return self._process

    def log(self) -> str:
        return self._stderr.read_text(encoding="utf-8")

    async def logged(self, words: str) -> None:
        """Wait until the log says so: lines are written a moment later."""
        async with asyncio.timeout(END_S):
            while words not in self.log().replace('\\"', '"'):  # noqa: ASYNC110  (a file has no event)
                await asyncio.sleep(0.01)

    async def rolegate(self, *arguments: str) -> Said:
        """Run a command on the same installation, as somebody beside the gateway would."""
        process = await asyncio.create_subprocess_exec(
            *self._launcher, sys.executable, "-m", "gateway", "--config-dir", str(self._config_folder), *arguments,
            env={**self._environment, "ROLEGATE_PORT": str(self.port)},
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        async with asyncio.timeout(READY_S):
            out, err = await process.communicate()
        return Said(code=await process.wait(), out=out.decode(), err=err.decode())

    async def __aenter__(self) -> Self:
        before = len(list(self._folder.glob("stderr*")))
        self._stderr = self._folder / f"stderr{before or ''}"
        with self._stderr.open("xb") as stderr:
            self._process = await asyncio.create_subprocess_exec(
                *self._launcher, sys.executable, "-m", "gateway", "serve", "--json", "--port", str(self.port),
                "--config-dir", str(self._config_folder), *self._arguments,
                env=self._environment, stdout=asyncio.subprocess.PIPE, stderr=stderr,
            )  # fmt: skip
        try:
            async with asyncio.timeout(READY_S):
                self.ready = await self._wait_until_ready()
        except BaseException:
            await self.end(signal.SIGKILL)
            raise
        return self

    async def _wait_until_ready(self) -> dict[str, Any]:
        stdout = self._running.stdout
        if stdout is None:
            raise RuntimeError("the gateway has no stdout")
        heard = b""
        async for line in stdout:
            heard += line
            if line.startswith(b'{"event"'):
                said: dict[str, Any] = json.loads(line)
                return said
        code = await self._running.wait()
        raise RuntimeError(f"the gateway ended before it was ready, with {code}:\n{heard.decode()}{self.log()}")

    async def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait for the exit code."""
        process = self._running
        if process.returncode is None:
            process.send_signal(number)
        async with asyncio.timeout(END_S):
            return await process.wait()

    async def __aexit__(self, *_: object) -> None:
        if self._running.returncode is None:
            try:
                await self.end()
            except TimeoutError:
                await self.end(signal.SIGKILL)
                raise
