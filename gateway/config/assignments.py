"""``KEY=JSON``: how single values are changed on a command line. Pure."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NoReturn

from gateway.config.set_path import KeyPath, format_set_path, parse_set_path
from gateway.config.wording import found, quoted
from gateway.errors import BadRequest

_KEY: Final = re.compile(r'((?:"(?:[^"\\]|\\.)*"|[^"=])+)=')
_BEGINS_JSON: Final = ('"', "{", "[")
_NAMED_DEPTH: Final = 2
"""Below a section and a name in it, an empty mapping says nothing; above, that there is such a role or model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """One value to change. ``removes`` takes the key out instead: what lies below shows again."""

    path: KeyPath
    value: object = None
    removes: bool = False


def parse_assignment(text: str) -> Assignment:
    """``KEY=JSON``, with a set path for the key. What is no JSON is text, so that names need no quotes inside quotes; nothing
    behind the ``=`` removes the key. Raises ``BadRequest``."""
    match = _KEY.match(text)
    if match is None:
        raise BadRequest(
            f"{quoted(text)} is no assignment", hint="write KEY=JSON, such as selection.cloud_fallback=false"
        )
    try:
        path = parse_set_path(match[1].strip())
    except ValueError as exc:
        raise BadRequest(str(exc)) from exc
    _must_not_cut_a_name(path, written=match[1].strip())
    written = text[match.end() :].strip()
    if not written:
        return Assignment(path=path, removes=True)
    return Assignment(path=path, value=_value(written, path))


def parse_assignments(texts: Sequence[str]) -> tuple[Assignment, ...]:
    """All of them. Raises ``BadRequest`` where there is none."""
    if not texts:
        raise BadRequest("nothing to set", hint="write KEY=JSON, such as selection.cloud_fallback=false")
    return tuple(map(parse_assignment, texts))


def assigned(
    values: Mapping[str, object], assignments: Iterable[Assignment], *, below: Mapping[str, object]
) -> dict[str, object]:
    """``values`` with each assignment made, in order; the argument stays as it is. ``below`` is what the layers underneath say:
    a list that only they have is copied before a place in it changes. Raises ``BadRequest``."""
    changed: object = dict(values)
    for one in assignments:
        changed = _put(changed, one, 0, below)
    assert isinstance(changed, dict)  # noqa: S101 (a set path begins with a key)
    return changed


def _must_not_cut_a_name(path: KeyPath, *, written: str) -> None:
    """Models are named with dots, which a set path would take for the end of the name. Raises ``BadRequest``."""
    cut = [place for place, key in enumerate(path) if place > 1 and isinstance(key, str) and ":" in key]
    if path[0] != "model_profiles" or not cut:
        return
    name = ".".join(map(str, path[1 : cut[0] + 1]))
    meant = format_set_path((path[0], name, *path[cut[0] + 1 :]))
    raise BadRequest(
        f"{written}: the dots in {name} would cut the name", hint=f"write it in brackets and quotes: '{meant}=…'"
    )


def _value(text: str, path: KeyPath) -> object:
    try:
        return json.loads(text, parse_constant=_no_number)
    except RecursionError as exc:
        raise BadRequest(f"{format_set_path(path)}: the value is nested too deep") from exc
    except ValueError as exc:
        if not text.startswith(_BEGINS_JSON):
            return text
        raise BadRequest(
            f"{format_set_path(path)}: {quoted(text)} is not JSON ({exc})",
            hint="shells take quotes away: put the whole assignment in single quotes",
        ) from exc


def _no_number(word: str) -> NoReturn:
    raise ValueError(word)


def _put(holder: object, one: Assignment, depth: int, below: object) -> object:
    key, last = one.path[depth], depth == len(one.path) - 1
    if isinstance(key, int):
        return _put_place(holder, one, depth, below)
    if holder is None:
        holder = {}
    if not isinstance(holder, Mapping):
        raise _does_not_fit(one.path[:depth], holder, "a key")
    changed = dict(holder)
    if not last:
        inner_below = below.get(key) if isinstance(below, Mapping) and holder.get(key, "") is not None else None
        changed[key] = _put(holder.get(key), one, depth + 1, inner_below)
        if one.removes and not changed[key] and depth >= _NAMED_DEPTH:
            del changed[key]  # nothing is left in it to speak of
    elif not one.removes:
        changed[key] = one.value
    elif key in changed:
        del changed[key]
    else:
        raise _nothing_there(one.path)
    return changed


def _put_place(holder: object, one: Assignment, depth: int, below: object) -> object:
    place, last = one.path[depth], depth == len(one.path) - 1
    assert isinstance(place, int)  # noqa: S101 (its caller's branch)
    if holder is None:
        holder = below if isinstance(below, list) else []
    if not isinstance(holder, list):
        raise _does_not_fit(one.path[:depth], holder, "a place")
    if place > len(holder) or (place == len(holder) and one.removes):
        where = format_set_path(one.path[: depth + 1])
        raise BadRequest(
            f"{where}: the list has {len(holder)} values, counted from 0",
            hint=f"[{len(holder)}] puts another value behind the last",
        )
    changed = list(holder)
    inner = changed[place] if place < len(changed) else None
    if last and one.removes:
        del changed[place]
    else:
        changed[place : place + 1] = [one.value if last else _put(inner, one, depth + 1, None)]
    return changed


def _does_not_fit(path: KeyPath, holder: object, what: str) -> BadRequest:
    where = format_set_path(path)
    example = f"{where}[0]" if isinstance(holder, list) else f"{where}.KEY" if isinstance(holder, Mapping) else where
    return BadRequest(f"{where} is {found(holder)} and has no such thing as {what}", hint=f"write {example}=…")


def _nothing_there(path: KeyPath) -> BadRequest:
    where = format_set_path(path)
    return BadRequest(f"{where} is not set here", hint=f"{where}=null removes what a lower layer sets")
