"""LiteLLM takes seconds to import: this room does so when a backend is built, and not before."""

import subprocess
import sys

import pytest

IMPORT_THE_ROOM = """
import importlib, pkgutil, sys
import gateway.backend
for module in pkgutil.walk_packages(gateway.backend.__path__, "gateway.backend."):
    importlib.import_module(module.name)
print(*[name for name in ("litellm", "openai") if name in sys.modules])
"""

LEAVE_EARLY = """
from gateway.backend.library import load_library
load_library()
class OpenAIChatCompletion:
    async def async_streaming(self): ...
class Ours:
    async def work(self): ...
OpenAIChatCompletion().async_streaming()
Ours().work()
"""


def test_importing_the_room_does_not_import_litellm() -> None:
    finished = subprocess.run([sys.executable, "-c", IMPORT_THE_ROOM], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.split() == []


@pytest.mark.litellm_facts
def test_only_the_calls_that_litellm_drops_before_they_begin_go_unreported() -> None:
    finished = subprocess.run([sys.executable, "-c", LEAVE_EARLY], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert "'Ours.work' was never awaited" in finished.stderr
    assert "async_streaming" not in finished.stderr
