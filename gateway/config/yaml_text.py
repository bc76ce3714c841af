"""YAML text as plain JSON values, with the line of every key.

Only what JSON can say is understood: mappings with text keys, lists, text, numbers, ``true``, ``false`` and ``null``, read by
the rules of YAML 1.2 (``yes``, ``on``, ``010`` and dates have no second meaning). Anchors, aliases and ``<<`` work; other
tags do not, so nothing is ever constructed. The reader works on the parser's events with a stack of its own: depth cannot
overflow anything, and aliases are counted at what they expand to.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from gateway.config.set_path import KeyPath
from gateway.config.wording import found

MAX_DEPTH: Final = 64
MAX_VALUES: Final = 200_000
"""Values in one file, aliases expanded."""

_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TEXT_TAGS: Final = frozenset({"!", "tag:yaml.org,2002:str"})
_SHAPE_TAGS: Final = frozenset({"!", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"})
_NOT_TEXT_STARTS: Final = frozenset("-+.0123456789~nNtTfF")
_CONSTANTS: Final[Mapping[str, object]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
}
_NUMBERS: Final[tuple[tuple[re.Pattern[str], Callable[[str], object]], ...]] = (
    (re.compile(r"[-+]?[0-9]+"), int),
    (re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"), float),
    (re.compile(r"0o[0-7]+"), lambda text: int(text, 8)),
    (re.compile(r"0x[0-9a-fA-F]+"), lambda text: int(text, 16)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TextProblem:
    """Something wrong in a text, before its meaning is looked at. ``line`` counts from 1."""

    line: int | None
    path: KeyPath = ()
    found: str
    allowed: str
    hint: str = ""


@dataclass(slots=True, kw_only=True)
class YamlReading:
    """What one text holds. ``value`` means nothing when ``broken``; ``lines`` is empty unless asked for."""

    value: object = None
    empty: bool = True
    broken: bool = False
    problems: list[TextProblem] = field(default_factory=list)
    lines: dict[KeyPath, int] = field(default_factory=dict)


class _Refused(Exception):
    def __init__(self, problem: TextProblem) -> None:
        super().__init__(problem.found)
        self.problem = problem


@dataclass(slots=True)
class _Open:
    """A mapping or list whose end has not been read. ``count`` is how many values it holds, aliases expanded."""

    value: dict[str, object] | list[object]
    anchor: str | None
    path: KeyPath
    key: str | None = None
    key_line: int = 0
    key_lines: dict[str, int] = field(default_factory=dict)
    merged: list[Mapping[str, object]] = field(default_factory=list)
    count: int = 1


def read_yaml(text: str, *, with_lines: bool = False) -> YamlReading:
    """Read ``text``. Never raises: what is wrong is in ``problems``. ``with_lines`` notes the line of every key (slower)."""
    reader = _Reader(with_lines=with_lines)
    try:
        reader.run(yaml.parse(text, Loader=_LOADER))
    except _Refused as refused:
        reader.reading.broken = True
        reader.reading.problems.append(refused.problem)
    except yaml.YAMLError as exc:
        reader.reading.broken = True
        reader.reading.problems.append(_syntax_problem(exc, text))
    return reader.reading


def too_many_values(*, line: int | None) -> TextProblem:
    """The problem of a file so large that checking it, and finding the lines of what is wrong, would take long."""
    return TextProblem(
        line=line,
        found=f"more than {MAX_VALUES} values",
        allowed=f"at most {MAX_VALUES} values in one file",
        hint="no configuration needs that many; is it the right file?",
    )


def _syntax_problem(exc: yaml.YAMLError, text: str) -> TextProblem:
    allowed = "YAML"
    if isinstance(exc, yaml.MarkedYAMLError) and exc.problem_mark is not None:
        what = ", ".join(part for part in (exc.context, exc.problem) if part)
        line, column = exc.problem_mark.line + 1, exc.problem_mark.column + 1
        return TextProblem(line=line, found=f"broken YAML at column {column}: {what}", allowed=allowed)
    position = getattr(exc, "position", None)
    line = text.count("\n", 0, position) + 1 if isinstance(position, int) else 1
    return TextProblem(line=line, found="a control character", allowed="YAML, which is printable text")


def _plain(text: str) -> object:
    """What an unquoted scalar means: a constant, a number, else itself."""
    if text and text[0] not in _NOT_TEXT_STARTS:
        return text
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    for pattern, number in _NUMBERS:
        if pattern.fullmatch(text):
            try:
                return number(text)
            except ValueError:  # more digits than Python converts
                return text
    return text


class _Reader:
    def __init__(self, *, with_lines: bool) -> None:
        self.reading = YamlReading()
        self._with_lines = with_lines
        self._stack: list[_Open] = []
        self._anchors: dict[str, tuple[object, int]] = {}
        self._aliased = False
        self._documents = 0

    def run(self, events: Iterator[Any]) -> None:
        for event in events:
            kind = type(event)
            if kind is yaml.ScalarEvent:
                self._scalar(event)
            elif kind is yaml.MappingStartEvent:
                self._start({}, event)
            elif kind is yaml.SequenceStartEvent:
                self._start([], event)
            elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
                self._end(event)
            elif kind is yaml.AliasEvent:
                self._alias(event)
            elif kind is yaml.DocumentStartEvent:
                self._documents += 1
                if self._documents > 1:
                    raise _Refused(
                        TextProblem(line=_line(event), found="a second YAML document", allowed="one document in a file")
                    )

    def _scalar(self, event: Any) -> None:
        value: object = event.value
        as_text = True
        if event.tag is None:
            if event.implicit[0]:
                value, as_text = _plain(event.value), False
        elif event.tag not in _TEXT_TAGS:
            raise _Refused(self._tag_problem(event))
        top = self._stack[-1] if self._stack else None
        if top is not None and top.key is None and type(top.value) is dict:
            self._key(top, event, value, as_text=as_text)
            return
        if not self._stack and value is None:
            return
        if event.anchor is not None:
            self._anchors[event.anchor] = (value, 1)
        self._put(value, count=1, event=event)

    def _key(self, top: _Open, event: Any, value: object, *, as_text: bool) -> None:
        line = _line(event)
        if not isinstance(value, str):
            self.reading.problems.append(
                TextProblem(
                    line=line,
                    path=top.path,
                    found=f"{found(value)} as a key",
                    allowed="text as a key",
                    hint=f'write "{event.value}" in quotes',
                )
            )
        key = str(event.value)
        top.key, top.key_line = key, line
        if key == "<<" and not as_text:
            return
        if key in top.key_lines:
            self.reading.problems.append(
                TextProblem(
                    line=line,
                    path=(*top.path, key),
                    found=f"the same key again (first on line {top.key_lines[key]})",
                    allowed="each key once",
                )
            )
        else:
            top.key_lines[key] = line
        if self._with_lines:
            self.reading.lines.setdefault((*top.path, key), line)

    def _start(self, value: dict[str, object] | list[object], event: Any) -> None:
        top = self._stack[-1] if self._stack else None
        if event.tag is not None and event.tag not in _SHAPE_TAGS:
            raise _Refused(self._tag_problem(event))
        if top is not None and top.key is None and type(top.value) is dict:
            shape = "a mapping" if type(value) is dict else "a list"
            raise _Refused(
                TextProblem(line=_line(event), path=top.path, found=f"{shape} as a key", allowed="text as a key")
            )
        if len(self._stack) >= MAX_DEPTH:
            raise _Refused(
                TextProblem(
                    line=_line(event),
                    found=f"values nested more than {MAX_DEPTH} deep",
                    allowed=f"at most {MAX_DEPTH} levels",
                )
            )
        path = self._path_of_next(event)
        self._stack.append(_Open(value, event.anchor, path))

    def _end(self, event: Any) -> None:
        done = self._stack.pop()
        if done.merged and isinstance(done.value, dict):
            for mapping in done.merged:
                for key, value in mapping.items():
                    done.value.setdefault(key, value)
        if done.anchor is not None:
            self._anchors[done.anchor] = (done.value, done.count)
        self._put(done.value, count=done.count, event=event)

    def _alias(self, event: Any) -> None:
        line = _line(event)
        top = self._stack[-1] if self._stack else None
        if top is not None and top.key is None and type(top.value) is dict:
            raise _Refused(TextProblem(line=line, path=top.path, found="an alias as a key", allowed="text as a key"))
        if any(opened.anchor == event.anchor for opened in self._stack):
            raise _Refused(
                TextProblem(line=line, found=f"the alias *{event.anchor} inside itself", allowed="aliases that end")
            )
        if event.anchor not in self._anchors:
            raise _Refused(
                TextProblem(
                    line=line,
                    found=f"the alias *{event.anchor} without an anchor",
                    allowed=f"an alias of an anchor (&{event.anchor}) set before it",
                )
            )
        self._aliased = True
        value, count = self._anchors[event.anchor]
        self._put(value, count=count, event=event)

    def _path_of_next(self, event: Any) -> KeyPath:
        if not self._stack:
            return ()
        top = self._stack[-1]
        if type(top.value) is list:
            path = (*top.path, len(top.value))
            if self._with_lines:
                self.reading.lines.setdefault(path, _line(event))
            return path
        return (*top.path, str(top.key))

    def _put(self, value: object, *, count: int, event: Any) -> None:
        if not self._stack:
            self.reading.value, self.reading.empty = value, False
            return
        top = self._stack[-1]
        top.count += count
        if self._aliased and top.count > MAX_VALUES:
            raise _Refused(
                TextProblem(
                    line=_line(event),
                    found=f"aliases that expand to more than {MAX_VALUES} values",
                    allowed="aliases that stay small",
                )
            )
        if top.count > MAX_VALUES:
            raise _Refused(too_many_values(line=_line(event)))
        if type(top.value) is list:
            if self._with_lines:
                self.reading.lines.setdefault((*top.path, len(top.value)), _line(event))
            top.value.append(value)
            return
        key, top.key = str(top.key), None
        if key == "<<" and "<<" not in top.key_lines:
            self._merge(top, value)
        elif isinstance(top.value, dict):
            top.value[key] = value

    def _merge(self, top: _Open, value: object) -> None:
        parts = value if isinstance(value, list) else [value]
        for part in parts:
            if not isinstance(part, dict):
                raise _Refused(
                    TextProblem(
                        line=top.key_line,
                        path=(*top.path, "<<"),
                        found=found(part),
                        allowed="an alias of a mapping, or a list of them",
                    )
                )
            top.merged.append(part)

    def _tag_problem(self, event: Any) -> TextProblem:
        tag = str(event.tag).replace("tag:yaml.org,2002:", "!!")
        return TextProblem(
            line=_line(event),
            found=f"the tag {tag}",
            allowed="plain mappings, lists, text, numbers, true, false and null",
        )


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1
