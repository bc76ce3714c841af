"""Carry out docker/Dockerfile in a plain folder, where there is no container engine, and see that the result works.

Each stage gets a folder that stands for its root; RUN lines run as they are, with IMAGE_ROOT naming that folder. Then the
image's own command is started (on loopback, on a free port), its health check asked, and it is told to stop. Needs nothing
but the standard library.

    docker/image-steps [--into FOLDER] [--build-only]
"""

import argparse
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

CONTEXT = Path(__file__).resolve().parent.parent
USER_ID = 10001
WITHOUT_EFFECT_HERE = {"EXPOSE", "VOLUME", "USER"}
READY_WITHIN_S = 90
STOPPED_WITHIN_S = 40


class Failed(Exception):
    """A step did not do what it does in a real build."""


@dataclass(frozen=True)
class Step:
    """One instruction of the Dockerfile: its line, its name, and the rest of it."""

    line: int
    name: str
    rest: str


@dataclass
class Stage:
    """One stage as built so far: the folder that is its root, and what the image would remember."""

    root: Path
    workdir: str = "/"
    environment: dict[str, str] = field(default_factory=dict)
    commands: dict[str, list[str]] = field(default_factory=dict)

    def path(self, inside: str) -> Path:
        """Where a path of the image lies on this machine."""
        absolute = inside if inside.startswith("/") else f"{self.workdir}/{inside}"
        return self.root / absolute.lstrip("/")


def steps(text: str) -> list[Step]:
    """The instructions of a Dockerfile, comments and blank lines left out, continued lines joined."""
    found: list[Step] = []
    pending, first = "", 0
    for number, line in enumerate(text.splitlines(), start=1):
        if not pending and (not line.strip() or line.lstrip().startswith("#")):
            continue
        first = first if pending else number
        pending += line
        if pending.endswith("\\"):
            pending = pending[:-1]
            continue
        name, _, rest = pending.strip().partition(" ")
        found.append(Step(line=first, name=name.upper(), rest=rest.strip()))
        pending = ""
    return found


def admitted(source: str, ignore: str) -> bool:
    """Whether .dockerignore, written as a list of what is let in, lets ``source`` into the build."""
    return f"!{Path(source).parts[0]}" in ignore.split()


def copy(step: Step, stage: Stage, stages: dict[str, Stage]) -> None:
    """COPY: files and folders from the build context, or from an earlier stage."""
    words = shlex.split(step.rest)
    options = dict(word[2:].split("=", 1) for word in words if word.startswith("--"))
    *sources, destination = [word for word in words if not word.startswith("--")]
    origin = stages[options["from"]] if "from" in options else None
    for source in sources:
        if origin is None and not admitted(source, (CONTEXT / ".dockerignore").read_text()):
            raise Failed(f".dockerignore keeps {source} out of the build")
        here = CONTEXT / source if origin is None else origin.path(source)
        there = stage.path(destination)
        if here.is_dir():
            shutil.copytree(
                here, there, symlinks=True, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__")
            )
        else:
            there = there / here.name if destination.endswith("/") else there
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(here, there)
        if "chown" in options and os.geteuid() == 0:
            for each in [there, *there.rglob("*")]:
                os.chown(each, USER_ID, USER_ID)


def environment(stage: Stage, **more: str) -> dict[str, str]:
    """The stage's variables, with the image's paths turned into paths of this machine."""
    mapped = {
        name: ":".join(str(stage.path(part)) if part.startswith("/") else part for part in value.split(":"))
        for name, value in stage.environment.items()
    }
    if "PATH" in mapped:
        mapped["PATH"] += ":" + os.environ["PATH"]
    return {**mapped, **more}


def carry_out(step: Step, stage: Stage, stages: dict[str, Stage]) -> None:
    """Do one instruction other than FROM."""
    if step.name == "WORKDIR":
        stage.workdir = step.rest
        stage.path(".").mkdir(parents=True, exist_ok=True)
    elif step.name == "COPY":
        copy(step, stage, stages)
    elif step.name == "ENV":
        name, _, value = step.rest.partition("=")
        stage.environment[name] = value
    elif step.name == "RUN":
        command = step.rest.replace(" /", f" {stage.root}/")
        here = {**os.environ, "IMAGE_ROOT": str(stage.root), "PYTHON": sys.executable}
        if subprocess.call(["sh", "-c", command], cwd=stage.path("."), env=here, stdin=subprocess.DEVNULL):
            raise Failed(f"{step.rest} failed; its own message stands above")
    elif step.name in {"ENTRYPOINT", "CMD"}:
        stage.commands[step.name] = json.loads(step.rest)
    elif step.name == "HEALTHCHECK":
        stage.commands[step.name] = json.loads(step.rest[step.rest.index("CMD") + len("CMD") :])
    elif step.name not in WITHOUT_EFFECT_HERE:
        raise Failed(f"{step.name} is not among the instructions that are known here")


def build(folder: Path) -> Stage:
    """Carry out the whole Dockerfile under ``folder``; the last stage is the image."""
    stages: dict[str, Stage] = {}
    stage: Stage | None = None
    for step in steps((CONTEXT / "docker" / "Dockerfile").read_text()):
        print(f"{step.line:3}  {step.name} {step.rest}", flush=True)
        try:
            if step.name == "FROM":
                _, _, name = step.rest.partition(" AS ")
                stage = stages[name or "image"] = Stage(root=folder / (name or "image"))
                stage.root.mkdir(parents=True)
            elif stage is None:
                raise Failed("there is no FROM before it")
            else:
                carry_out(step, stage, stages)
        except (Failed, OSError, KeyError, ValueError) as exc:
            raise Failed(f"docker/Dockerfile:{step.line}: {exc}") from exc
    if stage is None:
        raise Failed("docker/Dockerfile has no FROM")
    return stage


def settle(image: Stage, built_in: Stage) -> None:
    """Let the copied environment's scripts name the place where it lies now; in a real image both stages share one path."""
    for script in (image.root / "opt" / "rolegate" / "bin").iterdir():
        if script.is_file() and not script.is_symlink() and script.read_bytes()[:2] == b"#!":
            script.write_bytes(script.read_bytes().replace(str(built_in.root).encode(), str(image.root).encode(), 1))


def unprivileged(python: Path) -> int | None:
    """The image's user, if this process may start Python as that user here; otherwise ``None``, and so the one it runs as."""
    if os.geteuid() != 0:
        return None
    try:
        subprocess.run([python, "-c", ""], check=True, stderr=subprocess.DEVNULL, user=USER_ID, group=USER_ID)
    except (OSError, subprocess.CalledProcessError):
        print(f"     {python} cannot be run by another user here, so the image's user is not tried")
        return None
    return USER_ID


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def try_out(image: Stage) -> None:
    """Start the image's command, wait until its health check passes, ask it to stop, and see that it does."""
    variables = environment(image, ROLEGATE_PORT=str(free_port()))
    user = unprivileged(image.path("/opt/rolegate/bin/python"))
    [program] = image.commands["ENTRYPOINT"]
    arguments = [*image.commands["CMD"], "--host", "127.0.0.1", "--no-embedded"]
    found = shutil.which(program, path=variables["PATH"])
    if found is None or image.root not in Path(found).parents:
        raise Failed(f"{program} is not in the image")
    check = [str(image.path(part)) if part.startswith("/") else part for part in image.commands["HEALTHCHECK"]]
    check[0] = shutil.which(check[0], path=variables["PATH"]) or check[0]
    print(f"     {program} {' '.join(arguments)}", flush=True)
    gateway = subprocess.Popen(
        [found, *arguments], env=variables, cwd=image.path("."), stdin=subprocess.DEVNULL, user=user, group=user
    )
    try:
        deadline = time.monotonic() + READY_WITHIN_S
        while subprocess.call(check, env=variables, stdin=subprocess.DEVNULL) != 0:
            if gateway.poll() is not None:
                raise Failed(f"the gateway stopped with exit code {gateway.returncode}; its own message stands above")
            if time.monotonic() > deadline:
                raise Failed(f"the health check did not pass within {READY_WITHIN_S} s")
            time.sleep(0.5)
        print("     the health check passes", flush=True)
        gateway.send_signal(signal.SIGTERM)
        if code := gateway.wait(timeout=STOPPED_WITHIN_S):
            raise Failed(f"told to stop, the gateway ended with exit code {code}")
    except subprocess.TimeoutExpired as exc:
        raise Failed(f"told to stop, the gateway was still running {STOPPED_WITHIN_S} s later") from exc
    finally:
        if gateway.poll() is None:
            gateway.kill()
            gateway.wait()


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description="Carry out docker/Dockerfile in a plain folder.")
    parser.add_argument("--into", type=Path, help="keep the result in this new folder (default: a temporary one)")
    parser.add_argument("--build-only", action="store_true", help="do not start what was built")
    arguments = parser.parse_args()
    folder = arguments.into.absolute() if arguments.into else Path(tempfile.mkdtemp(prefix="rolegate-image-"))
    try:
        folder.mkdir(parents=True, exist_ok=arguments.into is None)
        folder.chmod(0o755)
        image = build(folder)
        settle(image, Stage(root=folder / "build"))
        if not arguments.build_only:
            try_out(image)
    except (Failed, FileExistsError) as exc:
        sys.exit(f"image-steps: {exc}")
    finally:
        if arguments.into is None:
            shutil.rmtree(folder, ignore_errors=True)
    print("     the image's steps work")


if __name__ == "__main__":
    main()
