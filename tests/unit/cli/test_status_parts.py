"""Parts of `rolegate status`: what is pending, and what is passed over."""

from gateway.cli.status import _pending, _resting
from gateway.cli.tables import aligned


def test_what_is_passed_over_is_shown_with_its_end_and_its_reason() -> None:
    shown = aligned(
        _resting(
            [
                {"model": "openai:m", "state": "held", "class": "auth", "message": "status 401", "left_s": None},
                {"model": "lab:x", "state": "cooling", "class": "timeout", "message": "too slow", "left_s": 4.2},
                {"model": "lab:y", "state": "cooling", "class": "timeout", "message": "", "left_s": 0.0},
                {"model": "lab:z", "state": "held", "class": "gone", "message": "no such model", "left_s": None},
            ]
        )
    )
    assert shown == [
        "PASSED OVER  UNTIL                                                         WHY",
        "openai:m     a key is put in (`rolegate providers set-key`), or a restart  auth: status 401",
        "lab:x        4.2 s from now                                                timeout: too slow",
        "lab:y        it has been tried again                                       timeout",
        "lab:z        it is seen again, or a restart                                gone: no such model",
    ]


def test_a_change_that_stands_in_no_file_is_not_laid_to_a_profile() -> None:
    pending = {"profile": None, "changed_roles": ["planner"], "restart": [], "problems": [], "files": []}
    assert _pending(pending, serving=None, told="") == [
        "pending: other keys or models than before, under which planner would be served differently"
    ]
    assert _pending(pending, serving="deep", told="") == [
        "pending: no profile, under which planner would be served differently"
    ]
