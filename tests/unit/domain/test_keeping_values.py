"""How long a model stays, as people write it; and which entry of a server's memory a model is."""

import dataclasses

import pytest

from builders import a_model
from gateway.domain.keeping import Held, checked_keep_alive, held_as
from gateway.domain.model import Residency
from gateway.errors import BadRequest

SIZE = Residency(size_bytes=1, size_vram_bytes=0)


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("30m", "30m"),
        ("1h30m", "1h30m"),
        ("1.5h", "1.5h"),
        ("-1s", "-1s"),
        ("300", 300),
        ("-1", -1),
        (60, 60),
        (-1, -1),
    ],
)
def test_a_time_with_a_unit_or_a_number_of_seconds_is_taken(given: object, taken: object) -> None:
    assert checked_keep_alive(given) == taken


@pytest.mark.parametrize(
    ("given", "found", "hint"),
    [
        ("soon", '"soon"', ""),
        ("30 m", '"30 m"', ""),
        ("", '""', ""),
        ("0", "0", "to let go of a model, unload it"),
        ("0s", '"0s"', "to let go of a model, unload it"),
        (0, "0", "to let go of a model, unload it"),
        (True, "true", ""),
        (1.5, "1.5", ""),
        ([], "[]", ""),
    ],
)
def test_anything_else_is_refused_with_what_is_allowed(given: object, found: str, hint: str) -> None:
    with pytest.raises(BadRequest) as caught:
        checked_keep_alive(given)
    assert str(caught.value) == (
        f"keep_alive: found {found}; allowed: a time with its unit (30m, 1h30m), a number of seconds, or -1 for ever"
    )
    assert (caught.value.param, caught.value.hint) == ("keep_alive", hint)


def test_a_model_is_held_under_any_name_of_its_weights_or_by_its_digest() -> None:
    model = dataclasses.replace(a_model("ollama:a:1"), aliases=frozenset({"b:1"}), digest="abc")
    for one in (
        Held(name="a:1", residency=SIZE),
        Held(name="b:1", residency=SIZE),
        Held(name="c:1", digest="abc", residency=SIZE),
    ):
        assert held_as(model, [Held(name="z:1", residency=SIZE), one]) == one
    assert held_as(a_model("ollama:a:1"), [Held(name="z:1", residency=SIZE)]) is None
