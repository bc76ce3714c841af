"""How two looks and two plans differ, in words and as roles."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from builders import a_discovery, a_machine, a_model, a_provider, a_role
from gateway.domain.model import Model
from gateway.domain.role import Role, Task
from gateway.registry.registry import Registry
from gateway.runtime.draft import Draft, changed_roles, drafted, news
from live_builders import a_configuration

A, B = a_model("ollama:a:1b"), a_model("ollama:b:1b")


def test_models_that_come_go_and_change_are_named() -> None:
    changed = replace(B, digest="another")
    before, now = a_discovery([A, B]), a_discovery([changed, a_model("ollama:c:1b")])
    assert news(before, now) == "ollama:a:1b is gone, ollama:b:1b changed, ollama:c:1b came"


def test_what_is_loaded_and_how_fast_is_no_news() -> None:
    loaded = a_model("ollama:a:1b", resident_context=4_096, speed=12.0)
    assert news(a_discovery([A]), a_discovery([loaded])) == ""


def test_many_changes_are_counted() -> None:
    many = [a_model(f"ollama:m{number}:1b") for number in range(5)]
    assert news(a_discovery([]), a_discovery(many)) == (
        "ollama:m0:1b came, ollama:m1:1b came, ollama:m2:1b came and 2 more"
    )


def test_a_host_that_goes_and_comes_is_told_and_its_models_are_not() -> None:
    up, down = a_discovery([A]), a_discovery([replace(A, provider_up=False)], down=["ollama"])
    assert news(up, down) == "ollama does not answer"
    assert news(down, up) == "ollama answers"


def test_a_host_that_has_described_its_models_is_told() -> None:
    whole = a_discovery([A])
    part = replace(whole, providers=(replace(whole.providers[0], complete=False),))
    assert news(part, whole) == "ollama has described all its models"
    assert news(whole, part) == "ollama has described not all its models"


def test_a_provider_that_was_not_there_is_told() -> None:
    lab = a_provider("lab")
    assert news(a_discovery([A]), a_discovery([A], providers=[a_provider(), lab])) == "lab answers"


def a_draft(folder: Path, *models: Model, roles: Sequence[Role] = ()) -> Draft:
    configuration = a_configuration(folder, *(roles or [a_role(preferred=["ollama:a:1b"]), a_role("critic")]))
    resources = a_machine(available_gb=64.0, total_gb=64.0)
    discovery = a_discovery(models)
    return drafted(configuration=configuration, registry=Registry([]), discovery=discovery, resources=resources)


@pytest.mark.parametrize(("before", "now"), [(True, False), (False, True), (None, True), (True, None)])
def test_a_model_that_can_do_something_else_now_serves_differently_under_the_same_digest(
    before: bool | None, now: bool | None, tmp_path: Path
) -> None:
    old, new = (a_draft(tmp_path, a_model("ollama:a:1b", tools=tools)) for tools in (before, now))
    assert old.digest == new.digest
    assert not new.serves_like(old)
    assert changed_roles(old, new) == ("critic", "planner")


def test_a_role_for_another_task_is_served_differently(tmp_path: Path) -> None:
    old, new = (a_draft(tmp_path, roles=[a_role(task=task)]) for task in (Task.CHAT, Task.EMBEDDING))
    assert old.digest == new.digest
    assert not new.serves_like(old)
    assert changed_roles(old, new) == ("planner",)


def test_a_model_that_is_preferred_by_nobody_any_more_serves_differently(tmp_path: Path) -> None:
    """What is unknown of a model is tried only where somebody has named it."""
    old, new = (a_draft(tmp_path, A, roles=[a_role(preferred=names)]) for names in (["ollama:a:1b"], []))
    assert changed_roles(old, new) == ("planner",)


def test_what_is_loaded_how_fast_and_how_large_makes_no_difference(tmp_path: Path) -> None:
    old = a_draft(tmp_path, A)
    new = a_draft(tmp_path, a_model("ollama:a:1b", resident_context=8_192, speed=12.0, memory_gb=7.0))
    assert new.serves_like(old)
    assert changed_roles(old, new) == ()
