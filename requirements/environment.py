"""Make the project's virtual environment hold what a lock file says: ``environment.py run|dev [--venv FOLDER]``.

Creates the environment with the standard ``venv`` module, installs the lock with ``pip install --require-hashes``, then the
project itself, editable and without its dependencies. Does nothing when the environment already holds what was asked for.
``dev`` holds everything that ``run`` does. Kept to Python 3.6, so that an old interpreter can be told that it is too old.
"""

import argparse
import hashlib
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOWEST, BEYOND = (3, 11), (3, 15)  # as requires-python in pyproject.toml says
KINDS = ("run", "dev")
SATISFIED_BY = {"run": ("run", "dev"), "dev": ("dev",)}


def refusal(version: "tuple[int, int]", program: str) -> str:
    """Why an interpreter of this version cannot be used, or an empty string."""
    if LOWEST <= version < BEYOND:
        return ""
    return (
        f"Rolegate needs Python 3.11, 3.12, 3.13 or 3.14; {program} is {version[0]}.{version[1]}.\n"
        "Install one of them and name it: make run PYTHON=/path/to/python3.12"
    )


def interpreter(venv: Path) -> Path:
    """Where the environment's own interpreter lies."""
    return venv / "Scripts" / "python.exe" if sys.platform == "win32" else venv / "bin" / "python"


def fingerprint(kind: str) -> str:
    """One word for what the environment has to hold; it changes whenever an install is needed."""
    digest = hashlib.sha256(f"{sys.version_info[0]}.{sys.version_info[1]} {ROOT}".encode())
    for path in (ROOT / "requirements" / f"{kind}.lock", ROOT / "pyproject.toml"):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def stamp(venv: Path, kind: str) -> Path:
    """The file that holds the fingerprint of what was last installed for ``kind``."""
    return venv / f"installed-{kind}"


def satisfied(venv: Path, kind: str) -> bool:
    """Whether the environment already holds what ``kind`` asks for."""
    if not interpreter(venv).exists():
        return False
    found = [(each, stamp(venv, each)) for each in SATISFIED_BY[kind]]
    return any(path.exists() and path.read_text().strip() == fingerprint(each) for each, path in found)


def usable(venv: Path) -> bool:
    """Whether an existing environment starts, has pip and is of this interpreter's version; if not, it is made anew."""
    if not interpreter(venv).exists():
        return False
    question = f"import pip, sys; sys.exit(sys.version_info[:2] != {tuple(sys.version_info[:2])!r})"
    return subprocess.call([str(interpreter(venv)), "-c", question], stderr=subprocess.DEVNULL) == 0


def run(command: "list[str]") -> None:
    """Show a command, run it, stop here if it fails."""
    print("+ " + " ".join(command), file=sys.stderr, flush=True)
    code = subprocess.call(command, cwd=str(ROOT))
    if code:
        sys.exit(f"That failed with exit code {code}; its own message stands above.")


def create(venv: Path) -> None:
    """Make an empty environment with pip in it."""
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        sys.exit(
            f"{sys.executable} has no venv module. On Debian and Ubuntu: apt install python3-venv; "
            "or name another interpreter: make run PYTHON=/path/to/python3.12"
        )
    if venv.is_dir():
        shutil.rmtree(venv)
    run([sys.executable, "-m", "venv", str(venv)])


def install(venv: Path, kind: str) -> None:
    """Install the lock of ``kind`` and the project; the stamp is written only when all of it worked."""
    for each in KINDS:
        if stamp(venv, each).exists():
            stamp(venv, each).unlink()
    pip = [str(interpreter(venv)), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    run([*pip, "--require-hashes", "-r", f"requirements/{kind}.lock"])
    run([*pip, "--no-deps", "--no-build-isolation", "--no-index", "-e", "."])
    stamp(venv, kind).write_text(fingerprint(kind) + "\n")


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description="Install the project and what it needs, from a lock file.")
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv")
    arguments = parser.parse_args()
    why_not = refusal((sys.version_info[0], sys.version_info[1]), sys.executable)
    if why_not:
        sys.exit(why_not)
    venv = Path(arguments.venv).absolute()
    if satisfied(venv, arguments.kind):
        return
    if not usable(venv):
        create(venv)
    print(f"Installing what requirements/{arguments.kind}.lock names; the first time takes minutes.", file=sys.stderr)
    install(venv, arguments.kind)


if __name__ == "__main__":
    main()
