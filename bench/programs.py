"""The two compiled programs: the upstream and the clients. They are C, so that neither is ever what limits a figure."""

import json
import math
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.cores import Cores, pin
from bench.measure import CannotMeasure

QUICK_CHUNKS = 16
"""Pieces of a short answer, all at once."""
PACED_CHUNKS = 64
INTERVAL_MS = 20
STREAM_MS = PACED_CHUNKS * INTERVAL_MS

LOAD_S = 240.0
"""A run of the clients that takes longer than this hangs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Whom to ask and for what. ``body`` is the request as JSON."""

    port: int
    path: str
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What clients that ask again and again saw."""

    per_second: float
    median_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Streams:
    """What clients that stream saw. ``broken`` streams were refused or not told to their end; ``stalled`` ones had a gap of more
    than 200 ms."""

    taken: int
    broken: int
    stalled: int
    chunks: int
    first_chunk_ms: float


class Programs:
    """Both programs, compiled into ``folder``. Raises ``CannotMeasure`` where that cannot be done."""

    def __init__(self, *, folder: Path, cores: Cores) -> None:
        self._folder = folder
        self._cores = cores
        if sys.platform != "linux":
            raise CannotMeasure("the compiled upstream needs Linux (epoll, timerfd); run this suite there")
        compiler = shutil.which("cc")
        if compiler is None:
            raise CannotMeasure("there is no C compiler (cc) for the upstream and the clients; install gcc or clang")
        for name in ("upstream", "load"):
            source = Path(__file__).with_name(f"{name}.c")
            done = subprocess.run(
                [compiler, "-O2", "-o", str(folder / name), str(source)], capture_output=True, text=True, check=False
            )
            if done.returncode:
                raise CannotMeasure(f"{source} does not compile here: {done.stderr.strip()}")

    def upstream(self) -> tuple[subprocess.Popen[str], int]:
        """Start the upstream; the process, and its port."""
        command = [str(self._folder / "upstream"), "0", str(QUICK_CHUNKS), str(PACED_CHUNKS), str(INTERVAL_MS)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        pin(process.pid, self._cores.others)
        assert process.stdout is not None
        return process, int(process.stdout.readline())

    def ask(self, target: Target, *, clients: int, seconds: float) -> Answers:
        """Plain requests: each client asks again as soon as it is answered."""
        said = self._load(target, "plain", str(clients), str(seconds))
        if said["errors"]:
            raise CannotMeasure(f"{said['errors']} of {said['answered']} requests to port {target.port} failed")
        latency = said["latency_ms"]
        return Answers(per_second=said["rate"], median_ms=latency["median"], p99_ms=latency["p99"])

    def stream(self, target: Target, *, clients: int, rounds: int) -> Streams:
        """Paced streams, ``rounds`` for each client one after the other; clients begin spread over the length of a stream, so
        that requests come in as evenly as they end."""
        said = self._load(target, "stream", str(clients), str(rounds), str(STREAM_MS))
        first = said["first_chunk_ms"]
        return Streams(
            taken=said["answered"],
            broken=said["errors"],
            stalled=said["stalled"],
            chunks=said["chunks"],
            first_chunk_ms=first["median"] if first else math.inf,
        )

    def _load(self, target: Target, *arguments: str) -> dict[str, Any]:
        command = [str(self._folder / "load"), str(target.port), target.path, *arguments]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        pin(process.pid, self._cores.others)
        try:
            out, error = process.communicate(target.body, timeout=LOAD_S)
        except subprocess.TimeoutExpired as exc:
            process.kill()
            process.communicate()
            raise CannotMeasure(f"the clients of port {target.port} were not served within {LOAD_S:g} s") from exc
        if process.returncode:
            raise CannotMeasure(f"the clients of port {target.port} failed: {error.strip()}")
        said: dict[str, Any] = json.loads(out)
        return said
