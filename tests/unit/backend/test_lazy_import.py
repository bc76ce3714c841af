"""LiteLLM takes seconds to import: this room does so when a backend is built, and not before."""

import subprocess
import sys

IMPORT_THE_ROOM = """
import importlib, pkgutil, sys
import gateway.backend
for module in pkgutil.walk_packages(gateway.backend.__path__, "gateway.backend."):
    importlib.import_module(module.name)
print(*[name for name in ("litellm", "openai") if name in sys.modules])
"""


def test_importing_the_room_does_not_import_litellm() -> None:
    finished = subprocess.run([sys.executable, "-c", IMPORT_THE_ROOM], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.split() == []
