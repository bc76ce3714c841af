"""The gateways under test, each a process of its own on the gateway's core: Rolegate, and the stock LiteLLM proxy."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from itertools import permutations
from pathlib import Path
from typing import Self

import psutil

from bench.cores import pin
from bench.measure import CannotMeasure

ROOT = Path(__file__).resolve().parents[1]
READY_S = 180.0
END_S = 30.0
WIRES = ("wire", "wire-b", "wire-c")
"""Providers on the OpenAI wire, of a gateway that swaps."""
ORDERS = tuple(permutations(WIRES))
POLL_S = 0.01

STOCK_ENVIRONMENT = {
    "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_MODE": "PRODUCTION",
}
"""No price list from the network, no ``.env``, no master key."""


class Gateway:
    """A running gateway; use it as a context. What it logs goes to files in ``folder``, as in any deployment.

    ``start_s`` is the time from the start of the process until its readiness endpoint says so.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        folder: Path,
        port: int,
        ready_path: str,
        environment: Mapping[str, str],
        core: int | None,
    ) -> None:
        self.port = port
        self.start_s = 0.0
        self._command = command
        self._folder = folder
        self._ready_path = ready_path
        self._environment = environment
        self._core = core
        self._process: psutil.Popen | None = None

    def __enter__(self) -> Self:
        kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "TMPDIR")}
        started = time.perf_counter()
        with (self._folder / "stdout").open("wb") as out, (self._folder / "stderr").open("wb") as error:
            self._process = psutil.Popen(
                self._command,
                cwd=ROOT,
                env={**kept, "HOME": str(self._folder), **self._environment},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=error,
            )
        pin(self._process.pid, self._core)
        try:
            while not self._ready():
                if self._process.poll() is not None:
                    raise CannotMeasure(f"{self._command[0]} ended before it was ready: {self._last_words()}")
                if time.perf_counter() - started > READY_S:
                    raise CannotMeasure(f"{self._command[0]} was not ready within {READY_S:g} s")
                time.sleep(POLL_S)
        except BaseException:
            self._end()
            raise
        self.start_s = time.perf_counter() - started
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    @property
    def resident_mb(self) -> float:
        """Resident memory now, child processes included, in MB."""
        process = self._running
        return float(sum(one.memory_info().rss for one in (process, *process.children(recursive=True)))) / 1e6

    @property
    def cpu_s(self) -> float:
        """Time on a processor so far, user and system, all threads, in seconds: from the scheduler, which counts nanoseconds,
        where the kernel tells, else in ticks."""
        tasks = Path(f"/proc/{self._running.pid}/task")
        try:
            return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks.iterdir()) / 1e9
        except (OSError, ValueError, IndexError):
            times = self._running.cpu_times()
            return float(times.user + times.system)

    @property
    def _running(self) -> psutil.Popen:
        if self._process is None:
            raise RuntimeError("the gateway is not running")
        return self._process

    def _ready(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", self._ready_path)
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def _last_words(self) -> str:
        return (self._folder / "stderr").read_text(encoding="utf-8", errors="replace").strip()[-1000:]

    def _end(self) -> None:
        process = self._running
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(END_S)
            except psutil.TimeoutExpired:
                process.kill()
                process.wait()


def rolegate(*, folder: Path, upstream_port: int, core: int | None, cloud: bool = False) -> Gateway:
    """Rolegate with the bench upstream as an Ollama host and as an OpenAI-wire server. With ``cloud``, a role may also be served
    by a cloud model on the litellm lane; it is not called."""
    roles = {
        "quick-openai": {"preferred": ["wire:quick"], "discover": False},
        "paced-openai": {"preferred": ["wire:paced"], "discover": False},
        "quick-ollama": {"preferred": ["ollama:quick:7b"], "discover": False},
        "paced-ollama": {"preferred": ["ollama:paced:7b"], "discover": False},
    }
    content: dict[str, object] = {
        "schema_version": 1,
        "role_mappings": roles,
        "local_providers": {
            "ollama": {"kind": "ollama", "url": f"http://127.0.0.1:{upstream_port}"},
            "wire": {"kind": "openai", "url": f"http://127.0.0.1:{upstream_port}/v1"},
        },
    }
    environment = {"ROLEGATE_STATE_DIR": str(folder / "state"), "ROLEGATE_EMBEDDED": "false"}
    if cloud:
        content["role_mappings"] = {**roles, "clouded": {"cloud_fallback": "anthropic:claude-sonnet-4-5"}}
        content["cloud_providers"] = {"anthropic": {"models": {"claude-sonnet-4-5": {}}}}
        environment["ANTHROPIC_API_KEY"] = "bench"
    return _rolegate(content, folder=folder, environment=environment, core=core)


def swapping(*, folder: Path, upstream_port: int, core: int | None) -> Gateway:
    """Rolegate with hot-swap on, and three profiles that give its three roles four deployments each in other orders. The planner
    and the critic have models that answer at once, the executor paced ones."""
    wires = {name: {"kind": "openai", "url": f"http://127.0.0.1:{upstream_port}/v1"} for name in WIRES}
    content: dict[str, object] = {
        "schema_version": 1,
        "role_mappings": _mappings(0),
        "local_providers": {"ollama": {"kind": "ollama", "url": f"http://127.0.0.1:{upstream_port}"}, **wires},
        "gateway": {"hot_swap": True},
    }
    (folder / "user_profiles").mkdir()
    for number in range(3):
        write_profile(folder, f"p{number}", order=number)
    environment = {"ROLEGATE_STATE_DIR": str(folder / "state"), "ROLEGATE_EMBEDDED": "false"}
    return _rolegate(content, folder=folder, environment=environment, core=core)


def write_profile(folder: Path, name: str, *, order: int) -> None:
    """A profile under which the roles have their deployments in that one of ``ORDERS``; replaced in one step, as editors do."""
    file = folder / "user_profiles" / f"{name}.json"
    beside = file.with_name(f".{name}.new")
    beside.write_text(json.dumps({"role_mappings": _mappings(order)}), encoding="utf-8")
    beside.replace(file)


def _mappings(order: int) -> dict[str, object]:
    wires = ORDERS[order]
    paces = {"planner": "quick", "critic": "quick", "executor": "paced"}
    return {
        role: {"preferred": [*(f"{wire}:{pace}" for wire in wires), f"ollama:{pace}:7b"], "discover": False}
        for role, pace in paces.items()
    }


def _rolegate(
    content: Mapping[str, object], *, folder: Path, environment: Mapping[str, str], core: int | None
) -> Gateway:
    (folder / "models.json").write_text(json.dumps(content, indent=2), encoding="utf-8")
    port = _free_port()
    command = [sys.executable, "-m", "gateway", "serve", "--json", "--port", str(port), "--config-dir", str(folder)]
    return Gateway(command, folder=folder, port=port, ready_path="/readyz", environment=environment, core=core)


def stock_models(upstream_port: int) -> list[dict[str, object]]:
    """The same four names for LiteLLM: its ``openai`` provider and its ``ollama_chat``."""
    wire = {"api_base": f"http://127.0.0.1:{upstream_port}/v1", "api_key": "bench"}
    native = {"api_base": f"http://127.0.0.1:{upstream_port}"}
    parameters = {
        "quick-openai": {"model": "openai/quick", **wire},
        "paced-openai": {"model": "openai/paced", **wire},
        "quick-ollama": {"model": "ollama_chat/quick:7b", **native},
        "paced-ollama": {"model": "ollama_chat/paced:7b", **native},
    }
    return [{"model_name": name, "litellm_params": one} for name, one in parameters.items()]


def stock(*, folder: Path, upstream_port: int, core: int | None) -> Gateway:
    """The LiteLLM proxy, one worker. Raises ``CannotMeasure`` where it is not installed."""
    program = Path(sys.executable).with_name("litellm")
    if not program.exists():
        raise CannotMeasure("the stock LiteLLM proxy is not installed beside this Python; make env-dev installs it")
    configuration = folder / "config.yaml"
    configuration.write_text(json.dumps({"model_list": stock_models(upstream_port)}), encoding="utf-8")
    port = _free_port()
    command = [str(program), "--config", str(configuration), "--host", "127.0.0.1", "--port", str(port)]
    return Gateway(
        command, folder=folder, port=port, ready_path="/health/readiness", environment=STOCK_ENVIRONMENT, core=core
    )


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
