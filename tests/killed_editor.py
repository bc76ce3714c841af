"""Edits a vault in child processes, each killed (SIGKILL) one line later than the one before: of the vault's code, or of that
which reads and writes its files.

``python killed_editor.py FOLDER OPERATION`` copies ``FOLDER/start`` to ``FOLDER/1``, ``FOLDER/2``, … for each child, and prints
how many were killed once one came to its end.
"""

import os
import shutil
import signal
import sys
from pathlib import Path
from types import FrameType

from gateway.domain.secret import Secret
from gateway.vault.client_keys import ClientKeys
from vault_builders import key_file, new_vault, passphrase

ROOMS = tuple(f"{os.sep}gateway{os.sep}{room}{os.sep}" for room in ("vault", "files"))


def set_key(folder: Path) -> None:
    new_vault(folder).set("openai", Secret("sk-new"), unlock=passphrase())


def first_key(folder: Path) -> None:
    new_vault(folder).set("openai", Secret("sk-new"), unlock=key_file(folder))


def rotate_key_file(folder: Path) -> None:
    new_vault(folder).rotate(unlock=key_file(folder))


def rotate_to_key_file(folder: Path) -> None:
    new_vault(folder).rotate(unlock=passphrase(), to=key_file(folder))


def rotate_to_passphrase(folder: Path) -> None:
    new_vault(folder).rotate(unlock=key_file(folder), to=passphrase())


def revoke(folder: Path) -> None:
    ClientKeys(folder / "state" / "client_keys.json").revoke("ci", now_s=2.0)


OPERATIONS = {
    one.__name__: one for one in (set_key, first_key, rotate_key_file, rotate_to_key_file, rotate_to_passphrase, revoke)
}


def die_at_line(count: int) -> None:
    """Kill this process when it comes to its ``count``-th line in the rooms."""
    seen = 0

    def each_line(_frame: FrameType, event: str, _argument: object) -> object:
        nonlocal seen
        if event == "line":
            seen += 1
            if seen == count:
                os.kill(os.getpid(), signal.SIGKILL)
        return each_line

    def each_call(frame: FrameType, _event: str, _argument: object) -> object:
        return each_line if any(room in frame.f_code.co_filename for room in ROOMS) else None

    sys.settrace(each_call)  # type: ignore[arg-type] # typeshed's alias refers to itself, an inner function cannot


def main(folder: Path, operation: str) -> None:
    # Once without a kill, so that no child spends its lines on first-time imports.
    shutil.copytree(folder / "start", folder / "rehearsal")
    OPERATIONS[operation](folder / "rehearsal")
    count = 0
    while True:
        count += 1
        work = folder / str(count)
        shutil.copytree(folder / "start", work)
        child = os.fork()
        if child == 0:
            die_at_line(count)
            OPERATIONS[operation](work)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status):
            shutil.rmtree(work)
            sys.stdout.write(f"{count - 1} {os.WEXITSTATUS(status)}\n")
            return


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
