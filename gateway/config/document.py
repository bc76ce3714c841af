"""One configuration file, read once: its plain values, or everything that is wrong with it as a file."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Final, cast

from gateway.config.locate import Syntax, json_duplicates, key_lines, line_of
from gateway.config.set_path import KeyPath, format_set_path
from gateway.config.wording import found
from gateway.config.yaml_text import MAX_DEPTH, MAX_VALUES, TextProblem, read_yaml, too_many_values
from gateway.errors import Problem
from gateway.files.regular_file import Unreadable, read_regular_file

MAX_FILE_BYTES: Final = 8 * 1024 * 1024
SUFFIXES: Final = (".json", ".yaml", ".yml")
SCHEMA_VERSION: Final = 1

_A_MAPPING: Final = "a mapping of configuration keys"


@dataclass(frozen=True, kw_only=True)
class Document:
    """What one file holds. ``data`` is ``None`` when it cannot be used at all; ``problems`` then says why.

    ``file`` is the path as messages show it. Values are plain: mappings with text keys, lists, text, finite numbers, booleans
    and ``None``. ``migrated_from`` is the version of the format that the text is in, where ``data`` is a newer form of it.
    """

    file: str
    syntax: Syntax = "json"
    text: str = ""
    data: Mapping[str, object] | None = None
    problems: tuple[Problem, ...] = ()
    migrated_from: int | None = None

    @cached_property
    def _lines(self) -> Mapping[KeyPath, int]:
        return {} if self.data is None else key_lines(self.text, syntax=self.syntax)

    def line_of(self, path: KeyPath) -> int | None:
        """The line of ``path`` or of what is nearest around it, from 1; ``None`` for the file as a whole."""
        return line_of(path, lines=self._lines)

    def holding(self, data: Mapping[str, object], *, migrated_from: int) -> "Document":
        """The same file with what its values are in a newer form."""
        return replace(self, data=data, migrated_from=migrated_from)

    def problem(self, path: KeyPath, *, found: str, allowed: str, nearest: str = "", hint: str = "") -> Problem:
        """A problem of this file at ``path``; one that is not in its text, for want of the newer form, says so."""
        if self.migrated_from is not None:
            form = f"the file has schema_version {self.migrated_from}, and this is what it says in {SCHEMA_VERSION}"
            hint = "; ".join(filter(None, (hint, form)))
        return Problem(
            file=self.file,
            line=self.line_of(path),
            key_path=format_set_path(path),
            found=found,
            allowed=allowed,
            nearest=nearest,
            hint=hint,
        )


def read_document(path: Path) -> Document:
    """Read one file. Never raises for what is in it, or for its being unreadable.

    A byte order mark of UTF-8 is passed over. Nothing over ``MAX_FILE_BYTES`` is read, and nothing that is not a regular
    file.
    """
    try:
        content = read_regular_file(path, at_most_bytes=MAX_FILE_BYTES)
    except Unreadable as exc:
        return _unusable(str(path), TextProblem(line=None, found=exc.found, allowed=exc.allowed, hint=exc.hint))
    return document_of(content, file=str(path), syntax=syntax_of(path))


def document_of(content: bytes, *, file: str, syntax: Syntax) -> Document:
    """``content`` as if it had been read from ``file``."""
    if len(content) > MAX_FILE_BYTES:
        much = TextProblem(line=None, found=f"{len(content)} bytes", allowed=f"at most {MAX_FILE_BYTES} bytes")
        return _unusable(file, much)
    try:
        return _document(file, _text(content), syntax=syntax)
    except _Unusable as exc:
        return _unusable(file, exc.problem)


def syntax_of(path: Path) -> Syntax:
    """How the file at ``path`` is read, by its name."""
    return "json" if path.suffix == ".json" else "yaml"


def _unusable(file: str, *problems: TextProblem) -> Document:
    return Document(file=file, problems=tuple(_as_problem(file, problem) for problem in problems))


def _as_problem(file: str, problem: TextProblem) -> Problem:
    return Problem(
        file=file,
        line=problem.line,
        key_path=format_set_path(problem.path),
        found=problem.found,
        allowed=problem.allowed,
        hint=problem.hint,
    )


class _Unusable(Exception):
    def __init__(self, *, found: str, allowed: str, line: int | None = None, hint: str = "") -> None:
        super().__init__(found)
        self.problem = TextProblem(line=line, found=found, allowed=allowed, hint=hint)


def _text(content: bytes) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise _Unusable(found="UTF-16 text", allowed="UTF-8 text", line=1, hint="save the file as UTF-8")
    if b"\x00" in content:
        raise _Unusable(found="binary data", allowed="UTF-8 text")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = content.count(b"\n", 0, exc.start) + 1
        raise _Unusable(
            found=f"byte 0x{content[exc.start]:02x}, which is not UTF-8",
            allowed="UTF-8 text",
            line=line,
            hint="save the file as UTF-8",
        ) from exc


def _document(file: str, text: str, *, syntax: Syntax) -> Document:
    if not text.strip():
        return _unusable(file, _empty())
    value, problems, usable = _json(text) if syntax == "json" else _yaml(text)
    if not usable:
        return _unusable(file, *problems)
    if not isinstance(value, dict):
        line = next((number for number, row in enumerate(text.splitlines(), 1) if row.strip()), 1)
        return _unusable(file, TextProblem(line=line, found=found(value), allowed=_A_MAPPING))
    bare = Document(file=file, syntax=syntax, text=text, data=value)
    odd = [bare.problem(path, found=what, allowed=allowed) for path, what, allowed in _odd_values(value, ())]
    return Document(
        file=file,
        syntax=syntax,
        text=text,
        data=None if _too_deep(odd) else value,
        problems=(*(_as_problem(file, problem) for problem in problems), *odd),
    )


def _empty() -> TextProblem:
    return TextProblem(line=None, found="an empty file", allowed=_A_MAPPING, hint="write {} or remove the file")


def _yaml(text: str) -> tuple[object, list[TextProblem], bool]:
    reading = read_yaml(text)
    if reading.empty and not reading.broken:
        return None, [_empty()], False
    return reading.value, reading.problems, not reading.broken


def _json(text: str) -> tuple[object, list[TextProblem], bool]:
    repeated, written = False, 0

    def mapping(pairs: list[tuple[str, object]]) -> dict[str, object]:
        nonlocal repeated, written
        result = dict(pairs)
        written += len(pairs)
        repeated = repeated or len(result) != len(pairs)
        return result

    try:
        value = json.loads(text, object_pairs_hook=mapping, parse_int=_whole)
    except json.JSONDecodeError as exc:
        what = f"broken JSON at column {exc.colno}: {exc.msg[0].lower()}{exc.msg[1:]}"
        return None, [TextProblem(line=exc.lineno, found=what, allowed="JSON")], False
    except RecursionError:
        return None, [_deep(None)], False
    if written > MAX_VALUES or (isinstance(value, dict) and _holds_too_much(value)):
        return None, [too_many_values(line=None)], False
    return value, list(json_duplicates(text)) if repeated else [], True


def _holds_too_much(value: dict[str, object]) -> bool:
    count, pending = 0, [cast("dict[str, object] | list[object]", value)]
    while pending:
        holder = pending.pop()
        count += len(holder)
        if count > MAX_VALUES:
            return True
        inner = holder.values() if isinstance(holder, dict) else holder
        pending += [one for one in inner if isinstance(one, dict | list)]
    return False


def _whole(digits: str) -> object:
    try:
        return int(digits)
    except ValueError:  # more digits than Python converts
        return digits


def _deep(line: int | None) -> TextProblem:
    return TextProblem(
        line=line, found=f"values nested more than {MAX_DEPTH} deep", allowed=f"at most {MAX_DEPTH} levels"
    )


def _too_deep(problems: list[Problem]) -> bool:
    return any(problem.found == _deep(None).found for problem in problems)


def _odd_values(value: object, path: KeyPath) -> list[tuple[KeyPath, str, str]]:
    """What JSON or YAML can say and a configuration cannot: non-finite numbers, broken text, endless nesting."""
    if isinstance(value, str):
        return [] if _encodable(value) else [(path, "text with half a surrogate pair", "text that UTF-8 can hold")]
    if isinstance(value, float):
        return [] if math.isfinite(value) else [(path, "a number that is not finite", "a finite number")]
    if not isinstance(value, dict | list):
        return []
    if len(path) >= MAX_DEPTH:
        problem = _deep(None)
        return [(path, problem.found, problem.allowed)]
    odd: list[tuple[KeyPath, str, str]] = []
    if isinstance(value, dict):
        for key, inner in value.items():
            if not _encodable(key):
                odd.append(((*path, key), "a key with half a surrogate pair", "text that UTF-8 can hold"))
            if type(inner) is not int and type(inner) is not bool:
                odd += _odd_values(inner, (*path, key))
    else:
        for place, inner in enumerate(value):
            odd += _odd_values(inner, (*path, place))
    return odd


def _encodable(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
