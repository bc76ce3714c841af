"""What holds for every test: a clean environment, a home of its own, no connection but to this machine, steady hypothesis."""

import os
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

SECRETS_AND_SETTINGS = ("_API_KEY", "_API_BASE", "_BASE_URL")
OURS = ("ROLEGATE_", "LITELLM_", "OLLAMA_", "OPENAI_", "ANTHROPIC_")
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
FOLDERS = {
    "XDG_CONFIG_HOME": ".config",
    "XDG_DATA_HOME": ".local/share",
    "XDG_STATE_HOME": ".local/state",
    "XDG_CACHE_HOME": ".cache",
}

settings.register_profile("steady", derandomize=True, deadline=None)
settings.register_profile(
    "soak", deadline=None, max_examples=5000, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
settings.load_profile("steady")


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # In the background of a shell interrupts are ignored, by the programs that tests start as well.
    signal.signal(signal.SIGINT, signal.default_int_handler)


class OutwardConnection(PermissionError):
    """A test reached for another machine."""


class SocketGuard:
    """Refuses every name lookup and connection but to this machine, and remembers what was refused.

    It listens to the interpreter's own audit events, so asyncio, threads and every library in this process are covered; code
    under test may catch the refusal, which is why the test is failed afterwards too. It cannot see a child process, nor
    uvloop, which opens its sockets in C.
    """

    def __init__(self) -> None:
        self.refused: list[str] = []

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        if event in {"socket.connect", "socket.sendto"}:
            address = arguments[1]
            if isinstance(address, tuple):
                self.judge(address[0])
        elif event in {"socket.getaddrinfo", "socket.gethostbyname"}:
            self.judge(arguments[0])

    def judge(self, host: object) -> None:
        """Let loopback and unspecified addresses pass, refuse every other host."""
        name = host.decode(errors="replace") if isinstance(host, bytes) else host
        if name is None or not isinstance(name, str) or name in {"", "localhost", "::1", "0.0.0.0", "::"}:
            return
        if name.startswith("127.") or name == socket.gethostname():
            return
        self.refused.append(name)
        raise OutwardConnection(f"tests may connect to this machine only, not to {name}")


GUARD = SocketGuard()
sys.addaudithook(GUARD)


@pytest.fixture(autouse=True)
def refused_connections() -> Iterator[list[str]]:
    """Fail a test that reached for another machine, even if the code under test swallowed the refusal."""
    GUARD.refused.clear()
    yield GUARD.refused
    refused, GUARD.refused[:] = tuple(GUARD.refused), []
    if refused:
        pytest.fail(f"the test reached for {', '.join(sorted(set(refused)))}")


@pytest.fixture(scope="session")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the home folders of all tests lie in."""
    return tmp_path_factory.mktemp("homes")


@pytest.fixture(autouse=True)
def home(homes: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home folder that ``HOME`` and the XDG variables point to; no setting and no key of the caller's gets in."""
    folder = Path(tempfile.mkdtemp(dir=homes))
    for name in list(os.environ):
        if name.startswith(OURS) or name.endswith(SECRETS_AND_SETTINGS) or name.lower() in PROXIES:
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(folder))
    for name, inside in FOLDERS.items():
        monkeypatch.setenv(name, str(folder / inside))
    return folder
