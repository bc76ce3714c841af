"""Profile writes and migrations that are killed, and edits from everywhere at once: nothing is lost, nothing is half there.

Run as a program, this file is the writer. For each edit it is told of on stdin it forks, and kills the fork after a while: so
what is killed is an edit and not the start of an interpreter.
"""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

import pytest

from gateway.config import migrate, profile_edits, profiles
from gateway.config.drafts import Check
from gateway.config.environ import Environment
from gateway.config.load import load
from gateway.config.upgrade import rewrite_old_files

WRITES = 200
MIGRATIONS = 50
FILLER = "x" * 20_000
"""Makes a file large enough to be caught half-written."""


def check_in(root: Path) -> Check:
    return Check(state_folder=root / "state", environment=Environment(variables={"HOME": str(root)}))


def values_of(number: int) -> dict[str, object]:
    return {"description": f"{number} {FILLER} {number}"}


def number_in(root: Path, profile: str) -> int:
    """The number of the write that a profile is from; whole, or this fails."""
    values = profile_edits.read(profile, folder=root / "config").values
    number = int(str(values["description"]).split()[0])
    assert values == values_of(number)
    return number


def write_once(root: Path, number: int) -> None:
    """One edit: the profile's content, and every third time the choice of the active one too."""
    profile_edits.put("written", values_of(number), folder=root / "config", check=check_in(root))
    if number % 3 == 0:
        name = ("written", "other")[number % 2]
        profiles.use(name, folder=root / "config", state_folder=root / "state")


def named_otherwise(data: Mapping[str, object]) -> dict[str, object]:
    """From a version that there never was to the first."""
    return {"description" if key == "about" else key: value for key, value in data.items()}


def old_text(number: int) -> str:
    return json.dumps({"schema_version": 0, "about": values_of(number)["description"]})


def migrate_once(root: Path, _number: int) -> None:
    migrate.STEPS = MappingProxyType({0: named_otherwise})  # type: ignore[misc]  # this process is over in a moment
    rewrite_old_files(root / "config")


def serve_edits(root: Path, edit: Callable[[Path, int], None]) -> None:
    """For each number and life on stdin, a process that makes the edit and is killed when its life is over, in seconds; say how
    it ended: 0, or the signal."""
    for line in sys.stdin:
        number, life_s = line.split()
        child = os.fork()
        if child == 0:
            edit(root, int(number))
            os._exit(0)
        time.sleep(float(life_s))
        os.kill(child, signal.SIGKILL)
        say(os.waitpid(child, 0)[1])


def say(word: object) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def add_roles(root: Path, process: int) -> None:
    """Many threads that each set values of one profile, over and over."""

    def add(thread: int) -> None:
        for number in range(5):
            assignment = f"role_mappings.r{process}-{thread}-{number}.max_deployments={number + 1}"
            profile_edits.assign("written", [assignment], folder=root / "config", check=check_in(root))

    threads = [threading.Thread(target=add, args=(thread,)) for thread in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "config" / "user_profiles").mkdir(parents=True)
    (tmp_path / "config" / "models.json").write_text('{"role_mappings": {"planner": {}}}')
    for name in ("other", "written"):
        profile_edits.create(name, folder=tmp_path / "config", check=check_in(tmp_path), values=values_of(0))
    profiles.use("other", folder=tmp_path / "config", state_folder=tmp_path / "state")
    return tmp_path


@contextmanager
def program(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    """This file as a program of its own."""
    process = subprocess.Popen(
        [sys.executable, __file__, *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        try:
            yield process
        finally:
            if process.poll() is None and sys.exc_info()[0] is not None:
                process.kill()


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_write_that_is_killed_leaves_the_old_content_or_the_new(root: Path) -> None:
    chance = random.Random(4)
    kept = killed = 0
    longest_s = 0.01
    with program("writes", root) as writer:
        assert writer.stdin is not None
        for number in range(1, WRITES + 1):
            before, active = number_in(root, "written"), check_in(root).active.name
            writer.stdin.write(f"{number} {chance.uniform(0, longest_s)}\n")
            writer.stdin.flush()
            ended = line_of(writer)
            assert ended in {"0", str(int(signal.SIGKILL))}
            was_killed = ended != "0"
            longest_s *= 1.2 if was_killed else 0.8  # so that about half of them live, on any machine
            after = number_in(root, "written")
            assert after in {before, number}
            assert was_killed or after == number
            assert check_in(root).active.name in {active, ("written", "other")[number % 2]}
            assert profiles.names(folder=root / "config") == ("other", "written")
            configuration = load(
                folder=root / "config", state_folder=root / "state", environment=check_in(root).environment
            )
            assert configuration.warnings == ()
            killed += was_killed
            kept += after == before
    assert 0 < kept < WRITES
    assert killed > 0
    write_once(root, WRITES + 1)
    left = [path.name for path in (root / "config" / "user_profiles").iterdir()]
    assert sorted(left) == ["other.json", "written.json"]


def test_a_migration_that_is_killed_leaves_the_old_form_or_the_new_with_the_old_beside_it(root: Path) -> None:
    chance = random.Random(7)
    path, backup = (root / "config" / "user_profiles" / name for name in ("written.json", "written.json.v0.bak"))
    longest_s = 0.01
    endings: Counter[str] = Counter()
    with program("migrations", root) as writer:
        assert writer.stdin is not None
        for number in range(1, MIGRATIONS + 1):
            path.write_text(old_text(number))
            backup.unlink(missing_ok=True)
            writer.stdin.write(f"{number} {chance.uniform(0, longest_s)}\n")
            writer.stdin.flush()
            was_killed = line_of(writer) != "0"
            longest_s *= 1.2 if was_killed else 0.8
            new = path.read_text() != old_text(number)
            if new:
                assert json.loads(path.read_text()) == {"schema_version": 1, **values_of(number)}
            assert new or was_killed
            if new or backup.exists():
                assert backup.read_text() == old_text(number)
            endings["new" if new else "old"] += 1
    assert endings["new"] > 0
    assert endings["old"] > 0


def test_edits_from_two_processes_with_many_threads_are_all_there(root: Path) -> None:
    with program("roles", root, 1) as one, program("roles", root, 2) as other:
        assert [line_of(one), line_of(other)] == ["done", "done"]
    values = profile_edits.read("written", folder=root / "config").values
    roles = values["role_mappings"]
    assert isinstance(roles, dict)
    assert roles == {
        f"r{process}-{thread}-{number}": {"max_deployments": number + 1}
        for process in (1, 2)
        for thread in range(6)
        for number in range(5)
    }
    assert json.loads((root / "config/user_profiles/written.json").read_text()) == values


if __name__ == "__main__":
    if sys.argv[1] == "writes":
        serve_edits(Path(sys.argv[2]), write_once)
    elif sys.argv[1] == "migrations":
        serve_edits(Path(sys.argv[2]), migrate_once)
    else:
        add_roles(Path(sys.argv[2]), int(sys.argv[3]))
        say("done")
