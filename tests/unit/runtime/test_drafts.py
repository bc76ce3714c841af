"""How two looks and two plans differ, in words and as roles."""

from dataclasses import replace

from builders import a_discovery, a_model, a_provider
from gateway.runtime.draft import news

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
