"""Resolve the dependencies anew: ``lock.py [arguments for uv pip compile]``, such as ``--upgrade`` or ``--upgrade-package NAME``.

Writes dev.lock from pyproject.toml and build.in, then run.lock within what dev.lock chose, then tool.lock, which holds the
resolver itself. All three are universal (any platform, Python 3.11 and newer) and carry hashes and no index address. Without
arguments the versions that are locked now are kept wherever they still fit.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OPTIONS = (
    "--universal",
    "--python-version=3.11",
    "--generate-hashes",
    "--no-emit-index-url",
    "--no-config",
    "--quiet",
    "--custom-compile-command=make lock",
)
SOURCES = ("pyproject.toml", "requirements/build.in")
TARGETS: "dict[str, tuple[str, ...]]" = {
    "dev": (*SOURCES, "--extra=embedded", "--extra=dev"),
    "run": (*SOURCES, "--extra=embedded", "--constraints=requirements/dev.lock"),
    "tool": ("requirements/tool.in",),
}


def resolver(folder: Path) -> Path:
    """Install the locked resolver into an environment of its own; return its interpreter."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "Scripts" / "python.exe" if sys.platform == "win32" else folder / "bin" / "python"
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--require-hashes"]
    subprocess.run([*pip, "-r", str(ROOT / "requirements" / "tool.lock")], check=True)
    return python


def main(arguments: "list[str]") -> None:
    """See the module's docstring."""
    with tempfile.TemporaryDirectory() as folder:
        python = resolver(Path(folder))
        for name, inputs in TARGETS.items():
            target = f"requirements/{name}.lock"
            command = [str(python), "-m", "uv", "pip", "compile", *OPTIONS, *inputs, *arguments, "-o", target]
            subprocess.run(command, check=True, cwd=ROOT)
            print(f"{target} is written")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except subprocess.CalledProcessError as exc:
        sys.exit(f"requirements/lock.py: a step failed with exit code {exc.returncode}; its own message stands above")
