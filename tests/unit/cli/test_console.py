"""Data goes to stdout and talk to stderr; on a terminal, in its width."""

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.cli.console import Console
from gateway.cli.tables import Cell, Column, Table

TABLE = Table(
    columns=(Column(title="ROLE"), Column(title="REASON", wraps=True, least=10), Column(title="LANE", spare=1)),
    rows=((Cell(text="planner", style="bold red"), "it needs [more] memory than there is", "ollama"),),
    empty="no role is configured",
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True

    def lines(self) -> list[str]:
        """What is to be read, without looks."""
        return [line.rstrip() for line in re.sub(r"\x1b\[[\d;]*m", "", self.getvalue()).splitlines()]


def terminal(monkeypatch: pytest.MonkeyPatch, *, columns: int) -> Terminal:
    """Make stdout a terminal of that width, without colours."""
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stdout", screen := Terminal())
    return screen


def test_data_and_talk_take_different_ways(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(json=False, quiet=False)
    console.text("one", "two")
    console.line(Cell(text="a", style="red"), "b", indent=2)
    console.value({"é": 1})
    console.talk("by the way")
    console.warn(["doubtful"])
    out, err = capsys.readouterr()
    assert out == 'one\ntwo\n  a  b\n{\n  "é": 1\n}\n'
    assert err == "by the way\nwarning: doubtful\n"


def test_quiet_leaves_data_and_errors(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(json=False, quiet=True)
    console.talk("by the way")
    console.warn(["doubtful"])
    console.text("data")
    console.error("it broke", hint="mend it")
    out, err = capsys.readouterr()
    assert out == "data\n"
    assert err == "error: it broke\nhint: mend it\n"


def test_a_table_in_a_pipe_has_everything(capsys: pytest.CaptureFixture[str]) -> None:
    Console(json=False, quiet=False).table(TABLE)
    out, err = capsys.readouterr()
    assert out == (
        "ROLE     REASON                                LANE\nplanner  it needs [more] memory than there is  ollama\n"
    )
    assert err == ""


def test_an_empty_table_is_said_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    Console(json=False, quiet=False).table(Table(columns=TABLE.columns, rows=(), empty=TABLE.empty))
    assert capsys.readouterr() == ("", "no role is configured\n")


def test_a_narrow_terminal_wraps_and_keeps_every_word(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = terminal(monkeypatch, columns=34)
    Console(json=False, quiet=False).table(TABLE)
    lines = screen.lines()
    assert max(map(len, lines)) <= 34
    assert lines[0].split() == ["ROLE", "REASON", "LANE"]
    words = " ".join(lines[2:]).split()
    assert sorted(words) == sorted(["planner", "ollama", "it", "needs", "[more]", "memory", "than", "there", "is"])


@pytest.mark.parametrize(("variable", "coloured"), [("NO_COLOR", False), ("UNRELATED", True)])
def test_no_color_is_respected(variable: str, coloured: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = terminal(monkeypatch, columns=80)
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv(variable, "1")
    Console(json=False, quiet=False).table(TABLE)
    assert ("\x1b[1;31m" in screen.getvalue()) is coloured


def test_a_narrower_terminal_says_which_columns_it_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    screen = terminal(monkeypatch, columns=22)
    Console(json=False, quiet=False).table(TABLE)
    assert screen.lines()[0].split() == ["ROLE", "REASON"]
    assert capsys.readouterr().err.splitlines() == [
        "(left out at this",
        "width: LANE; --json",
        "has everything)",
    ]


def test_names_in_a_narrow_table_are_broken_at_their_joints(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = terminal(monkeypatch, columns=30)
    columns = (Column(title="SETTING", wraps=True, least=12), Column(title="VALUE"))
    rows = (("role_mappings.executor.preferred", "mistral:latest"),)
    Console(json=False, quiet=False).table(Table(columns=columns, rows=rows))
    assert screen.lines()[2:] == ["role_mappings.  mistral:latest", "executor.", "preferred"]


def test_a_line_on_a_terminal_wraps_under_its_indent(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = terminal(monkeypatch, columns=34)
    Console(json=False, quiet=False).line("it needs more memory than there is now", indent=4)
    assert screen.lines() == [
        "    it needs more memory than",
        "    there is now",
    ]


EVIL = "a\x1b[31m\nb\x07\x7f\x9b\r\u2028é\u202e"
SHOWN = "a\\u001b[31m\\nb\\u0007\\u007f\\u009b\\r\\u2028é\\u202e"


def test_control_characters_are_shown_and_not_sent(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(json=False, quiet=False)
    console.text(EVIL)
    console.line(Cell(text=EVIL), EVIL)
    console.table(Table(columns=(Column(title="MODEL"),), rows=((EVIL,),)))
    console.talk(EVIL)
    console.warn([EVIL])
    assert capsys.readouterr() == (
        f"{SHOWN}\n{SHOWN}  {SHOWN}\nMODEL\n{SHOWN}\n",
        f"{SHOWN}\nwarning: {SHOWN}\n",
    )
    console.error("one\ntwo\x1b[31m", hint="three\x07")
    assert capsys.readouterr().err == "error: one\ntwo\\u001b[31m\nhint: three\\u0007\n"
    console.value({"model": EVIL})
    out = capsys.readouterr().out
    assert out == f'{{\n  "model": "{SHOWN}"\n}}\n'
    assert json.loads(out) == {"model": EVIL}


def test_a_terminal_gets_no_escapes_but_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = terminal(monkeypatch, columns=120)
    console = Console(json=False, quiet=False)
    console.line(Cell(text=EVIL, style="red"))
    console.table(Table(columns=(Column(title="MODEL"),), rows=((Cell(text=EVIL, style="bold"),),)))
    assert [line for line in screen.lines() if "31m" in line] == [SHOWN, SHOWN]
    assert not set(screen.getvalue()) & {"\x07", "\x7f", "\x9b", "\r", "\u2028"}


def rolegate_in_a_shell(line: str) -> tuple[int, str, str]:
    finished = subprocess.run(
        ["/bin/sh", "-c", f'"$0" -m gateway {line}', sys.executable],
        capture_output=True,
        text=True,
        cwd=Path(__file__).resolve().parents[3],
        check=False,
    )
    return finished.returncode, finished.stdout, finished.stderr


@pytest.mark.parametrize("line", ["version", "version --json", "--help", "plan -h", "sing --json"])
@pytest.mark.parametrize(("where", "why"), [(">&-", "Bad file descriptor"), (">/dev/full", "No space left on device")])
@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="needs a device that is always full")
def test_output_that_cannot_be_written_is_said_plainly(line: str, where: str, why: str) -> None:
    assert rolegate_in_a_shell(f"{line} {where}") == (1, "", f"error: cannot write to stdout: {why}\n")


@pytest.mark.parametrize("where", ["2>&-", "2>/dev/full"])
def test_talk_that_cannot_be_written_costs_no_data(where: str) -> None:
    code, out, _err = rolegate_in_a_shell(f"version {where}")
    assert (code, out[:9]) == (0, "rolegate ")
    assert rolegate_in_a_shell(f"sing {where}")[0] == 2


def test_a_reader_that_goes_away_ends_the_command_without_a_word(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    finished = subprocess.run(
        [sys.executable, "-m", "gateway", "version"],
        stdout=writing,
        stderr=subprocess.PIPE,
        cwd=Path(__file__).resolve().parents[3],
        check=False,
    )
    os.close(writing)
    assert (finished.returncode, finished.stderr) == (141, b"")
