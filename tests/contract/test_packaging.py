"""What is shipped and installed: the lock files, the wheel, the image, and the documents that speak of them."""

import ast
import json
import re
import subprocess
import sys
import tomllib
import zipfile
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from docker import image_steps
from gateway import __version__
from gateway.config.environ import Environment
from gateway.config.load import load
from requirements import advisories, audit, environment, lock

ROOT = Path(__file__).resolve().parents[2]
SOME_DAY = date(2026, 11, 1)
DISTRIBUTIONS = {"pydantic_core": "pydantic", "yaml": "PyYAML"}
LOCKS = {name: (ROOT / "requirements" / f"{name}.lock").read_text() for name in lock.TARGETS}


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    table = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert isinstance(table, dict)
    return table


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    [path] = folder.glob("*.whl")
    return zipfile.ZipFile(path)


def pins(text: str) -> dict[str, Requirement]:
    """The locked requirements by normalised name."""
    lines = re.findall(r"^([A-Za-z0-9][^\\\n]*?) *\\$", text, flags=re.MULTILINE)
    return {canonicalize_name(requirement.name): requirement for requirement in map(Requirement, lines)}


def declared(project: dict[str, Any]) -> list[Requirement]:
    """Everything pyproject.toml asks for, the extras included."""
    extras = project["optional-dependencies"]
    return [Requirement(text) for text in [*project["dependencies"], *extras["embedded"], *extras["dev"]]]


def third_parties(path: Path) -> set[str]:
    """The top-level names that a module imports from outside the project and the standard library."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    modules = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    modules += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module]
    return {module.split(".")[0] for module in modules} - {"gateway"} - set(sys.stdlib_module_names)


@pytest.mark.parametrize("name", sorted(LOCKS))
def test_every_locked_version_is_exact_and_has_hashes(name: str) -> None:
    blocks = re.split(r"^(?=[A-Za-z0-9])", LOCKS[name], flags=re.MULTILINE)[1:]
    assert blocks
    assert [block.splitlines()[0] for block in blocks if "--hash=sha256:" not in block] == []
    assert [str(pin) for pin in pins(LOCKS[name]).values() if not str(pin.specifier).startswith("==")] == []


@pytest.mark.parametrize("name", sorted(LOCKS))
def test_no_lock_names_an_index_or_a_machine(name: str) -> None:
    assert (
        re.findall(
            r"^.*(?:://|--index|--extra-index|--find-links|--trusted-host|/root|/home).*$", LOCKS[name], re.MULTILINE
        )
        == []
    )


def test_what_runs_is_what_was_tested() -> None:
    tested = pins(LOCKS["dev"])
    differing = {
        name: (str(pin.specifier), str(tested[name].specifier) if name in tested else None)
        for name, pin in pins(LOCKS["run"]).items()
        if name not in tested or tested[name].specifier != pin.specifier
    }
    assert differing == {}


def test_the_locks_satisfy_what_the_project_declares(project: dict[str, Any]) -> None:
    locked = pins(LOCKS["dev"])
    unsatisfied = [
        str(requirement)
        for requirement in declared(project)
        if canonicalize_name(requirement.name) not in locked
        or str(locked[canonicalize_name(requirement.name)].specifier).removeprefix("==") not in requirement.specifier
    ]
    assert unsatisfied == []


def test_everything_that_runs_is_in_the_run_lock(project: dict[str, Any]) -> None:
    needed = [*project["dependencies"], *project["optional-dependencies"]["embedded"]]
    names = {canonicalize_name(Requirement(text).name) for text in needed} | {"hatchling", "editables"}
    assert names - set(pins(LOCKS["run"])) == set()


def test_the_package_imports_nothing_that_it_does_not_declare(project: dict[str, Any]) -> None:
    needed = [*project["dependencies"], *project["optional-dependencies"]["embedded"]]
    names = {canonicalize_name(Requirement(text).name) for text in needed}
    imported = {name: path.name for path in (ROOT / "gateway").rglob("*.py") for name in third_parties(path)}
    undeclared = {
        name: path for name, path in imported.items() if canonicalize_name(DISTRIBUTIONS.get(name, name)) not in names
    }
    assert undeclared == {}


def test_litellm_is_pinned_to_one_version_that_was_never_compromised(project: dict[str, Any]) -> None:
    [asked] = {str(each.specifier) for each in declared(project) if each.name == "litellm"}
    assert asked.startswith("==")
    assert {str(pins(LOCKS[name])["litellm"].specifier) for name in ("run", "dev")} == {asked}
    rules = advisories.read(audit.ADVISORIES, today=SOME_DAY)
    assert rules.refusal(package="litellm", version="1.82.8") != ""
    assert rules.refusal(package="litellm", version=asked.removeprefix("==")) == ""
    assert f"pinned to **{asked.removeprefix('==')}**" in (ROOT / "docs" / "dependencies.md").read_text()


def test_every_dependency_has_its_reason_in_the_documentation(project: dict[str, Any]) -> None:
    text = (ROOT / "docs" / "dependencies.md").read_text()
    explained = {canonicalize_name(name) for name in re.findall(r"^\| `([^`]+)` \|", text, flags=re.MULTILINE)}
    assert explained == {canonicalize_name(requirement.name) for requirement in declared(project)} | {"uv"}


def test_the_interpreters_allowed_are_the_same_everywhere(project: dict[str, Any]) -> None:
    low, high = environment.LOWEST, environment.BEYOND
    assert SpecifierSet(project["requires-python"]) == SpecifierSet(f">={low[0]}.{low[1]},<{high[0]}.{high[1]}")
    makefile = (ROOT / "Makefile").read_text()
    assert f"{low} <= sys.version_info[:2] < {high}" in makefile
    bases = re.findall(r"^FROM python:(\S+)-slim", (ROOT / "docker" / "Dockerfile").read_text(), flags=re.MULTILINE)
    assert bases
    assert all(base in SpecifierSet(project["requires-python"]) for base in bases)


@pytest.mark.parametrize("version", [(3, 6), (3, 10), (3, 15)])
def test_an_interpreter_of_another_version_is_refused_with_a_way_out(version: tuple[int, int]) -> None:
    assert environment.refusal(version, "/usr/bin/python3") == (
        f"Rolegate needs Python 3.11, 3.12, 3.13 or 3.14; /usr/bin/python3 is {version[0]}.{version[1]}.\n"
        "Install one of them and name it: make run PYTHON=/path/to/python3.12"
    )


def test_an_environment_for_development_serves_for_running_too_but_not_the_reverse(tmp_path: Path) -> None:
    program = environment.interpreter(tmp_path)
    program.parent.mkdir(parents=True)
    program.touch()
    environment.stamp(tmp_path, "dev").write_text(environment.fingerprint("dev"))
    assert environment.satisfied(tmp_path, "run")
    environment.stamp(tmp_path, "dev").unlink()
    environment.stamp(tmp_path, "run").write_text(environment.fingerprint("run"))
    assert environment.satisfied(tmp_path, "run")
    assert not environment.satisfied(tmp_path, "dev")
    environment.stamp(tmp_path, "run").write_text("what an older lock file gave")
    assert not environment.satisfied(tmp_path, "run")


def test_the_wheel_carries_the_shipped_configuration_and_nothing_of_the_workshop(wheel: zipfile.ZipFile) -> None:
    names = wheel.namelist()
    tracked = {
        path.relative_to(ROOT).as_posix()
        for top in ("config", "router_templates")
        for path in (ROOT / top).rglob("*")
        if path.is_file()
    }
    assert tracked
    assert {f"gateway/_shipped/{name}" for name in tracked} - set(names) == set()
    assert "gateway/py.typed" in names
    assert {name.split("/")[0] for name in names} == {"gateway", f"rolegate-{__version__}.dist-info"}


def test_the_wheel_gives_the_command_and_the_license(wheel: zipfile.ZipFile) -> None:
    about = f"rolegate-{__version__}.dist-info"
    assert "rolegate = gateway.__main__:main" in wheel.read(f"{about}/entry_points.txt").decode()
    assert "Apache License" in wheel.read(f"{about}/licenses/LICENSE").decode()


def test_the_changelog_speaks_of_this_version() -> None:
    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert __version__ in headings


def test_the_image_installs_from_the_lock_runs_without_rights_and_is_watched() -> None:
    steps = image_steps.steps((ROOT / "docker" / "Dockerfile").read_text())
    last_stage = steps[max(index for index, step in enumerate(steps) if step.name == "FROM") :]
    assert [step.rest for step in last_stage if step.name == "USER"] == ["10001:10001"]
    assert [step.name for step in last_stage if step.name in {"HEALTHCHECK", "ENTRYPOINT", "CMD"}] != []
    assert "--require-hashes" in (ROOT / "docker" / "steps" / "dependencies.sh").read_text()
    scripts = [step.rest for step in steps if step.name == "RUN"]
    assert all(re.fullmatch(r"sh \S*steps/\w+\.sh", script) for script in scripts)


def test_the_health_check_asks_at_the_port_that_the_gateway_listens_on_whatever_a_mounted_file_says(
    tmp_path: Path,
) -> None:
    steps = image_steps.steps((ROOT / "docker" / "Dockerfile").read_text())
    variables = dict(step.rest.split("=", 1) for step in steps if step.name == "ENV")
    (tmp_path / "user_models.json").write_text('{"gateway": {"port": 5000}}')
    inside = Environment(variables={"HOME": str(tmp_path), **variables})
    configuration = load(folder=tmp_path, state_folder=tmp_path, environment=inside)
    assert str(configuration.gateway.port) == variables["ROLEGATE_PORT"]
    assert [step.rest for step in steps if step.name == "EXPOSE"] == [variables["ROLEGATE_PORT"]]
    assert 'os.environ.get("ROLEGATE_PORT"' in (ROOT / "docker" / "healthcheck.py").read_text()


def test_nothing_lies_over_the_layers_that_the_image_ships() -> None:
    steps = image_steps.steps((ROOT / "docker" / "Dockerfile").read_text())
    volumes = [place for step in steps if step.name == "VOLUME" for place in json.loads(step.rest)]
    services = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())["services"]
    mounted = {each.split(":")[1]: each.split(":")[0] for each in services["rolegate"]["volumes"]}
    assert volumes == ["/var/lib/rolegate"]
    assert set(mounted) == {"/var/lib/rolegate", "/etc/rolegate/user_models.json", "/etc/rolegate/user_profiles"}
    own = [place for place in mounted if place.startswith("/etc/rolegate/")]
    assert all((ROOT / "docker" / mounted[place]).exists() for place in own)


def test_continued_lines_and_comments_of_a_dockerfile_are_understood() -> None:
    text = "# one\n\nFROM a AS b\nRUN x \\\n  y\nCMD []\n"
    assert [(step.line, step.name, step.rest) for step in image_steps.steps(text)] == [
        (3, "FROM", "a AS b"),
        (4, "RUN", "x   y"),
        (6, "CMD", "[]"),
    ]


def test_compose_publishes_to_this_host_alone_and_waits_for_ollama() -> None:
    services = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())["services"]
    assert services["rolegate"]["ports"] == ["127.0.0.1:4000:4000"]
    assert services["rolegate"]["depends_on"] == {"ollama": {"condition": "service_healthy"}}
    assert services["ollama"]["healthcheck"]["test"] == ["CMD", "ollama", "list"]
    assert "ports" not in services["ollama"]


def test_compose_does_not_start_without_the_first_keys() -> None:
    variables = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())["services"]["rolegate"]["environment"]
    for name in ("ROLEGATE_CLIENT_KEY", "ROLEGATE_ADMIN_KEY"):
        assert variables[name].startswith(f"${{{name}:?")


def test_the_image_looks_for_ollama_where_compose_puts_it() -> None:
    layer = json.loads((ROOT / "docker" / "user_models.json").read_text())
    assert layer["local_providers"]["ollama"] == {"kind": "ollama", "url": "http://ollama:11434"}


def test_this_interpreter_is_one_the_locks_were_made_for(project: dict[str, Any]) -> None:
    assert default_environment()["python_full_version"] in SpecifierSet(project["requires-python"], prereleases=True)
