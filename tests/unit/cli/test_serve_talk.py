"""What `rolegate serve` tells while the gateway comes up: talk on stderr, the ready block on stdout."""

import json

import pytest

from gateway.cli.console import Console
from gateway.cli.serve import Announcer, log_line
from gateway.compose.announcements import Note, Pulling, Ready

READY = Ready(
    url="http://127.0.0.1:4000/v1",
    roles={"planner": ("ollama:llama3.1:8b", "embedded:smollm2:135m"), "critic": ()},
    degraded=("critic",),
    generation=1,
    profile="coding",
    config_folder="/etc/rolegate",
    curl="curl http://127.0.0.1:4000/v1/chat/completions",
    answered="ollama:llama3.1:8b answered planner in 9 ms",
)


def test_the_ready_block_names_url_roles_and_a_command_that_works(capsys: pytest.CaptureFixture[str]) -> None:
    with Announcer(Console(json=False, quiet=False)) as announce:
        announce(READY)
    out, err = capsys.readouterr()
    assert out == (
        "ready  at http://127.0.0.1:4000/v1  generation 1\n"
        "profile coding, configuration /etc/rolegate\n"
        "ollama:llama3.1:8b answered planner in 9 ms\n"
        "ROLE     ANSWERED BY, IN ORDER\n"
        "planner  ollama:llama3.1:8b > embedded:smollm2:135m\n"
        "critic   no model\n"
        "try it:\n"
        "  curl http://127.0.0.1:4000/v1/chat/completions\n"
    )
    assert err == "no model can serve critic (`rolegate explain critic` says why)\n"


def test_with_json_it_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with Announcer(Console(json=True, quiet=False)) as announce:
        announce(READY)
    out, _ = capsys.readouterr()
    assert out.count("\n") == 1
    told = json.loads(out)
    assert told["event"] == "ready"
    assert told["roles"]["planner"] == ["ollama:llama3.1:8b", "embedded:smollm2:135m"]


def test_a_fetch_is_told_once_for_each_phase_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with Announcer(Console(json=False, quiet=False)) as announce:
        for phase, total in (("downloading", 92_871_040), ("extracting", 98_362_432)):
            for done in (0, total // 2, total):
                announce(Pulling(name="embedded:smollm2:135m", phase=phase, done_bytes=done, total_bytes=total))
        announce(Note(text="lab does not answer"))
    assert capsys.readouterr() == (
        "",
        "downloading embedded:smollm2:135m (92.9 MB)\nextracting embedded:smollm2:135m (98.4 MB)\nlab does not answer\n",
    )


def test_where_the_log_is_json_so_is_all_that_is_said_beside_it(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(json=False, quiet=False)
    console.spoken = log_line
    with Announcer(console) as announce:
        announce(Pulling(name="x", phase="downloading", done_bytes=1, total_bytes=2))
        announce(Note(text="lab does\nnot answer 100%"))
        announce(READY)
    said = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(one["level"], one["logger"], one["message"]) for one in said] == [
        ("info", "serve", "downloading x (0.0 MB)"),
        ("info", "serve", "lab does\nnot answer 100%"),
        ("info", "serve", "no model can serve critic (`rolegate explain critic` says why)"),
    ]


def test_quiet_leaves_the_ready_block(capsys: pytest.CaptureFixture[str]) -> None:
    with Announcer(Console(json=False, quiet=True)) as announce:
        announce(Pulling(name="x", phase="downloading", done_bytes=1, total_bytes=2))
        announce(Note(text="lab does not answer"))
        announce(READY)
    out, err = capsys.readouterr()
    assert out.startswith("ready  at ")
    assert err == ""
