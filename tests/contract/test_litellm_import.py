"""What importing LiteLLM does to the process, and that every test which needs the real one is part of its gate."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
NEED_THE_REAL_ONE = {"load_library", "LiteLLMBackend", "SharedBackends", "a_backend", "run_cells"}

IMPORT_IT = """
import sys
import dotenv

def told(event, arguments):
    if event in {"socket.getaddrinfo", "socket.gethostbyname", "socket.connect"}:
        print("reached for", arguments)

def loaded(*given, **named):
    print("loaded a .env file")
    return False

sys.addaudithook(told)
dotenv.load_dotenv = dotenv.main.load_dotenv = loaded
"""


@pytest.mark.litellm_facts
@pytest.mark.parametrize(
    ("load", "expected"),
    [
        ("from gateway.backend.library import load_library; load_library()", []),
        ("import os; os.environ['LITELLM_LOCAL_MODEL_COST_MAP'] = 'True'; import litellm", ["loaded a .env file"]),
    ],
    ids=["as the gateway does it", "left to itself"],
)
def test_importing_it_asks_nobody_and_reads_no_secrets_from_a_file(load: str, expected: list[str]) -> None:
    finished = subprocess.run([sys.executable, "-c", IMPORT_IT + load], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.splitlines() == expected


def imported(tree: ast.Module) -> set[str]:
    return {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}


def test_every_file_of_tests_that_uses_the_real_one_is_part_of_the_gate() -> None:
    files = {path: path.read_text(encoding="utf-8") for path in TESTS.rglob("test_*.py")}
    needing = {path for path, text in files.items() if imported(ast.parse(text)) & NEED_THE_REAL_ONE}
    assert len(needing) > 5
    assert [path.name for path in sorted(needing) if "litellm_facts" not in files[path]] == []


def test_the_facts_that_are_documented_name_tests_of_the_gate() -> None:
    rows = re.findall(
        r"^\|.*\| (`test_.*) \|$", (TESTS.parent / "docs" / "updating.md").read_text(), flags=re.MULTILINE
    )
    named = {name for row in rows for name in re.findall(r"`(test_\w+)`", row)}
    gate = [text for path in TESTS.rglob("test_*.py") if "litellm_facts" in (text := path.read_text(encoding="utf-8"))]
    assert len(rows) >= 15
    assert {name for name in named if not any(f"def {name}(" in text for text in gate)} == set()
