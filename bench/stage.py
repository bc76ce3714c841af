"""What the data-plane suites share: the upstream, the clients and the running gateways, each started when it is first used."""

import json
import sys
import tempfile
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Literal, Self

from bench import gateways
from bench.cores import Cores
from bench.gateways import Gateway
from bench.programs import Programs, Target

Lane = Literal["openai", "ollama"]
LANES: tuple[Lane, ...] = ("openai", "ollama")
Pace = Literal["quick", "paced"]
FILES = 8192

_MESSAGES = [
    {"role": "system", "content": "You are a helpful assistant. Answer in one short sentence."},
    {"role": "user", "content": "Say something about the sea that a child would like to hear before it goes to sleep."},
]


class Stage:
    """Use it as a context; everything that it started ends with it."""

    def __init__(self) -> None:
        self.cores = Cores.of_this_machine()
        _allow_many_files()
        self._open = ExitStack()

    def __enter__(self) -> Self:
        self._open.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    @cached_property
    def programs(self) -> Programs:
        return Programs(folder=self.folder(), cores=self.cores)

    @cached_property
    def upstream_port(self) -> int:
        process, port = self.programs.upstream()
        self._open.callback(process.wait)
        self._open.callback(process.kill)
        return port

    @cached_property
    def rolegate(self) -> Gateway:
        one = gateways.rolegate(folder=self.folder(), upstream_port=self.upstream_port, core=self.cores.gateway)
        return self._open.enter_context(one)

    @cached_property
    def stock(self) -> Gateway:
        one = gateways.stock(folder=self.folder(), upstream_port=self.upstream_port, core=self.cores.gateway)
        return self._open.enter_context(one)

    def folder(self) -> Path:
        """A new empty folder, gone at the end."""
        return Path(self._open.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))

    def through(self, gateway: Gateway, *, lane: Lane, pace: Pace, stream: bool) -> Target:
        """A chat request to a gateway."""
        return self.asking(gateway, model=f"{pace}-{lane}", stream=stream)

    def asking(self, gateway: Gateway, *, model: str, stream: bool) -> Target:
        """A chat request to a gateway, for a model of that name."""
        body = {"model": model, "messages": _MESSAGES, "temperature": 0.2, "stream": stream}
        return Target(port=gateway.port, path="/v1/chat/completions", body=json.dumps(body))

    def direct(self, *, lane: Lane, pace: Pace, stream: bool) -> Target:
        """The same request to upstream, on the lane's own wire."""
        path = "/api/chat" if lane == "ollama" else "/v1/chat/completions"
        body = {"model": f"{pace}-{lane}", "messages": _MESSAGES, "stream": stream}
        return Target(port=self.upstream_port, path=path, body=json.dumps(body))


def _allow_many_files() -> None:
    """Two connections per stream, 1,024 streams: more files than many systems allow at first. Every process inherits this."""
    if sys.platform != "win32":
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
        if soft != resource.RLIM_INFINITY and soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
