"""The options that every command takes, wherever they stand; and the seam where errors become exit codes."""

import json
from pathlib import Path
from typing import Annotated

import pytest
import typer

from gateway.cli import app as cli
from gateway.cli.command import Call, add_command, add_group, new_group
from gateway.errors import GatewayUnreachable, NoModelForRole, Problem, ProviderDown, RolegateError, UnknownName
from gateway.file_errors import ConfigInvalid


def show(
    call: Call, *, name: Annotated[str, typer.Argument()] = "-", loud: Annotated[bool, typer.Option()] = False
) -> int:
    """Say what was understood."""
    call.console.text(f"{call.config_dir} {call.console.json} {call.console.quiet} {name} {loud}")
    return 4 if loud else 0


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str, raises: BaseException | None = None) -> int:
    """Run a command line of a small application with the commands ``show`` and ``rooms show``."""

    def failing(call: Call) -> None:
        """Fail."""
        assert raises is not None
        raise raises

    def application() -> typer.Typer:
        app = new_group(about="A test.")
        add_command(app, show, name="show")
        add_command(app, failing, name="fail")
        add_command(add_group(app, name="rooms", about="Rooms."), show, name="show")
        return app

    monkeypatch.setattr(cli, "application", application)
    return cli.main(arguments)


@pytest.mark.parametrize(
    "line",
    [
        "show x --json --quiet --config-dir /etc",
        "--json --quiet --config-dir /etc show x",
        "--json show x --config-dir /etc --quiet",
        "--config-dir /nowhere show --config-dir /etc x --json --quiet",
        "rooms --json --quiet show x --config-dir /etc",
        "--json rooms --config-dir /etc show --quiet x",
    ],
)
def test_the_shared_options_stand_before_or_after_the_command(
    line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, *line.split()) == 0
    assert capsys.readouterr() == (f"{Path('/etc')} True True x False\n", "")


def test_without_them_data_is_for_people(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "show", "--loud") == 4
    assert capsys.readouterr().out == "None False False - True\n"


def test_every_command_lists_them_in_its_help(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for line in (["--help"], ["rooms", "--help"], ["show", "--help"], ["rooms", "show", "--help"]):
        assert run(monkeypatch, *line) == 0
        out = capsys.readouterr().out
        assert all(option in out for option in ("--config-dir", "--json", "--quiet"))
        assert "--debug" not in out


@pytest.mark.parametrize("line", [[], ["rooms"], ["--json"]])
def test_a_group_without_a_command_shows_its_help_and_is_a_usage_error(
    line: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, *line) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("Usage: rolegate")


ERRORS = [
    (RolegateError("it broke"), 1, "error: it broke\n"),
    (
        UnknownName(kind="role", name="planer", known=["planner"], nearest="planner"),
        2,
        'error: there is no role "planer"; known: planner\nhint: did you mean "planner"?\n',
    ),
    (
        ConfigInvalid([Problem(file="models.json", line=3, key_path="gateway.port", found="0", allowed="1 to 65535")]),
        3,
        (
            "error: 1 problem in the configuration:\n"
            "  models.json:3: gateway.port: found 0; allowed: 1 to 65535\n"
            "hint: mend the lines named above and run `rolegate config validate`\n"
        ),
    ),
    (
        ConfigInvalid([Problem(file="--host", key_path="gateway.host", found='"x"', allowed="an address")]),
        3,
        (
            "error: 1 problem in the configuration:\n"
            '  --host: gateway.host: found "x"; allowed: an address\n'
            "hint: mend what is named above, and give the command again\n"
        ),
    ),
    (
        NoModelForRole(role="planner"),
        4,
        'error: no model can serve the role "planner" now\nhint: `rolegate explain planner` shows every candidate\n',
    ),
    (
        GatewayUnreachable(url="http://127.0.0.1:4000", reason="connection refused"),
        5,
        (
            "error: no gateway answers at http://127.0.0.1:4000: connection refused\n"
            "hint: start one with `rolegate serve`\n"
        ),
    ),
    (ProviderDown("ollama does not answer", provider="ollama"), 6, "error: ollama does not answer\n"),
    (KeyboardInterrupt(), 130, ""),
    (typer.Abort(), 130, ""),
    (
        ValueError("odd"),
        1,
        "error: unexpected: ValueError: odd\nhint: run it again with --debug for a traceback\n",
    ),
    (AssertionError(), 1, "error: unexpected: AssertionError\nhint: run it again with --debug for a traceback\n"),
]


@pytest.mark.parametrize(("error", "code", "said"), ERRORS, ids=[type(error).__name__ for error, _, _ in ERRORS])
def test_errors_have_their_exit_code_and_say_what_to_do(
    error: BaseException,
    code: int,
    said: str | None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(monkeypatch, "fail", "--quiet", raises=error) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert said is None or err == said


def test_with_json_an_error_is_an_object_on_stdout(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error = UnknownName(kind="role", name="planer", known=["planner"], nearest="planner")
    assert run(monkeypatch, "fail", "--json", raises=error) == 2
    out, err = capsys.readouterr()
    assert err == ""
    assert json.loads(out) == {
        "error": {
            "code": "not_found",
            "message": 'there is no role "planer"; known: planner',
            "hint": 'did you mean "planner"?',
        }
    }


def test_with_json_every_problem_of_a_configuration_is_an_object(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    problem = Problem(
        file="models.json", line=3, key_path="gateway.prot", found="an unknown key", allowed="port", nearest="port"
    )
    assert run(monkeypatch, "--json", "fail", raises=ConfigInvalid([problem])) == 3
    assert json.loads(capsys.readouterr().out)["error"]["problems"] == [
        {
            "file": "models.json",
            "line": 3,
            "key_path": "gateway.prot",
            "found": "an unknown key",
            "allowed": "port",
            "nearest": "port",
            "hint": "",
        }
    ]


def test_debug_lets_the_unexpected_through(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"^odd$"):
        run(monkeypatch, "fail", "--debug", raises=ValueError("odd"))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["sing"], "error: No such command 'sing'.\nhint: see `rolegate --help`\n"),
        (["show", "--nope"], "error: No such option: --nope\nhint: see `rolegate show --help`\n"),
        (["show", "a", "b"], "error: Got unexpected extra argument(s) (b)\nhint: see `rolegate show --help`\n"),
        (["rooms", "dance"], "error: No such command 'dance'.\nhint: see `rolegate rooms --help`\n"),
    ],
)
def test_a_command_line_that_cannot_be_understood_is_a_usage_error(
    line: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, *line) == 2
    assert capsys.readouterr() == ("", said)


def test_with_json_a_usage_error_is_an_object_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "sing", "--json") == 2
    assert json.loads(capsys.readouterr().out) == {
        "error": {"code": "usage", "message": "No such command 'sing'.", "hint": "see `rolegate --help`"}
    }
