"""Keys and passphrases at a real terminal."""

import os
import pty
import subprocess
import sys
from pathlib import Path

KEY = "sk-typed-by-hand-0123456789"
PHRASE = "correct horse battery"


def at_a_terminal(folder: Path, *arguments: str, answers: dict[str, str]) -> tuple[int, str]:
    """Run a command, type each answer once its question stands there; the exit code and all that the terminal showed."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway", "--config-dir", str(folder / "config"), *arguments],
        env={**os.environ, "ROLEGATE_STATE_DIR": str(folder / "state")},
        stdin=theirs, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    shown, told = "", 0
    left = list(answers.items())
    while True:
        try:
            piece = os.read(ours, 4096).decode()
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        shown += piece
        if left and shown.find(left[0][0], told) >= 0:
            question, answer = left.pop(0)
            told = shown.index(question, told) + len(question)
            os.write(ours, f"{answer}\n".encode())
    os.close(ours)
    return process.wait(60), shown


def test_nothing_that_is_typed_is_shown(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    code, shown = at_a_terminal(
        tmp_path, "providers", "set-key", "openai",
        answers={"key of openai: ": KEY, "passphrase for the new vault": PHRASE, "the same again: ": PHRASE},
    )  # fmt: skip
    assert (code, KEY in shown, PHRASE in shown) == (0, False, False)
    assert "the key of openai is in " in shown.replace("\r\n", " ")
    code, shown = at_a_terminal(tmp_path, "providers", "list", answers={"api_keys.json: ": PHRASE})
    assert (code, PHRASE in shown) == (0, False)
    code, shown = at_a_terminal(tmp_path, "providers", "list", answers={"api_keys.json: ": "a wrong one"})
    assert code == 7
    assert "stays locked: the passphrase is wrong" in " ".join(shown.split())
