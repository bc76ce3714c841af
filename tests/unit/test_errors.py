"""The exception tree: drawn as it is, and every leaf with what programs need."""

import inspect
import re
from types import ModuleType

import pytest

from gateway import errors, file_errors
from gateway.errors import Problem, RolegateError


def drawn(module: ModuleType) -> dict[str, str]:
    """Class → parent, as the module's picture has them."""
    parents: dict[str, str] = {}
    above = {0: "RolegateError"}
    for line in (module.__doc__ or "").splitlines():
        found = re.match(r"([│ ]*)[├└]── (\w+)", line)
        if found:
            depth = len(found[1]) // 4
            parents[found[2]] = above[depth]
            above[depth + 1] = found[2]
    return parents


def written(module: ModuleType) -> dict[str, str]:
    classes = [one for _, one in inspect.getmembers(module, inspect.isclass) if issubclass(one, RolegateError)]
    return {one.__name__: one.__bases__[0].__name__ for one in classes if one is not RolegateError}


@pytest.mark.parametrize("module", [errors, file_errors])
def test_the_picture_shows_the_tree_as_it_is(module: ModuleType) -> None:
    assert drawn(module) == written(module)


def test_a_problem_says_where_what_was_found_what_is_allowed_and_what_to_do() -> None:
    problem = Problem(
        file="config/models.json",
        line=3,
        key_path="gateway.prot",
        found='the unknown key "prot"',
        allowed="host, port",
        nearest="port",
        hint="rename it",
    )
    assert str(problem) == (
        'config/models.json:3: gateway.prot: found the unknown key "prot"; allowed: host, port; did you mean "port"?; '
        "rename it"
    )
