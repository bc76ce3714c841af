"""The shape of the code: sizes, names, and who may touch what. Import directions are import-linter's (`make imports`)."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "gateway"
MODULES = sorted(PACKAGE.rglob("*.py"))
MOST_LINES = 500
BANNED_NAMES = {
    "base",
    "common",
    "core",
    "helper",
    "helpers",
    "manager",
    "misc",
    "shared",
    "stuff",
    "tools",
    "util",
    "utils",
}
TOUCH_THE_ENVIRONMENT = {
    "gateway/config/environ.py",
    "gateway/backend/library.py",  # LiteLLM takes some settings from nowhere else; they are set just before its import
    "gateway/embedded/child.py",  # OpenMP likewise; it is a process of its own
}
ENVIRONMENT = {"environ", "environb", "getenv", "getenvb", "putenv", "unsetenv"}
SLOW_IMPORTS = ("aiohttp", "litellm", "openai", "prometheus_client", "starlette", "uvicorn", "xllamacpp")

IMPORT_THE_WHOLE_CLI = """
import importlib, pkgutil, sys
import gateway.__main__, gateway.cli
for module in pkgutil.walk_packages(gateway.cli.__path__, "gateway.cli."):
    importlib.import_module(module.name)
print(*[name for name in sys.argv[1:] if name in sys.modules])
"""


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def environment_accesses(module: ast.Module) -> list[int]:
    """Lines that read or write the process environment, through ``os`` or a name imported from it."""
    lines = []
    for node in ast.walk(module):
        by_attribute = (
            isinstance(node, ast.Attribute)
            and node.attr in ENVIRONMENT
            and isinstance(node.value, ast.Name)
            and node.value.id == "os"
        )
        by_import = (
            isinstance(node, ast.ImportFrom)
            and node.module == "os"
            and any(alias.name in ENVIRONMENT for alias in node.names)
        )
        if by_attribute or by_import:
            lines.append(getattr(node, "lineno", 0))
    return lines


def runs_something(node: ast.stmt) -> bool:
    """Whether a top-level statement does more than say what the room is for, pass on its own names, or define a function."""
    match node:
        case ast.Expr(value=ast.Constant()) | ast.FunctionDef(decorator_list=[]):
            return False
        case ast.Assign(targets=[ast.Name(id="__version__" | "__all__")]):
            return False
        case ast.ImportFrom(module=str(module)):
            return not module.startswith("gateway.") and module not in {"collections.abc", "typing"}
    return True


def test_no_module_is_longer_than_its_limit() -> None:
    lengths = {named(path): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert {name: length for name, length in lengths.items() if length > MOST_LINES} == {}


def test_no_module_has_a_name_that_says_nothing() -> None:
    assert [named(path) for path in MODULES if path.stem in BANNED_NAMES or path.parent.name in BANNED_NAMES] == []


def test_every_module_says_what_it_is_for() -> None:
    silent = [named(path) for path in MODULES if path.name != "__init__.py" and not ast.get_docstring(tree(path))]
    assert silent == []


def test_importing_a_room_runs_nothing() -> None:
    rooms = [path for path in MODULES if path.name == "__init__.py"]
    assert [named(path) for path in rooms if any(map(runs_something, tree(path).body))] == []


def test_the_environment_is_touched_where_it_is_read_into_values_and_nowhere_else() -> None:
    found = {named(path): environment_accesses(tree(path)) for path in MODULES}
    assert {name: lines for name, lines in found.items() if lines and name not in TOUCH_THE_ENVIRONMENT} == {}


@pytest.mark.parametrize(
    "source", ["import os\nos.environ['HOME']", "import os\nos.getenv('HOME')", "from os import environ"]
)
def test_the_environment_check_finds_what_it_looks_for(source: str) -> None:
    assert environment_accesses(ast.parse(source)) != []


def test_the_command_line_answers_without_the_slow_imports() -> None:
    finished = subprocess.run(
        [sys.executable, "-c", IMPORT_THE_WHOLE_CLI, *SLOW_IMPORTS],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.split() == []
