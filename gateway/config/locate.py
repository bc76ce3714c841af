"""The line of a key path in JSON or YAML text; used only when there is something to report."""

import json
import re
from collections.abc import Mapping
from typing import Final, Literal

from gateway.config.set_path import KeyPath
from gateway.config.yaml_text import TextProblem, read_yaml

Syntax = Literal["json", "yaml"]

_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|\n|[^\s{}\[\],:"]+')


def key_lines(text: str, *, syntax: Syntax) -> Mapping[KeyPath, int]:
    """Key path → line (from 1), for text that has been read without a syntax problem. Of equal keys, the first counts."""
    return _json_lines(text)[0] if syntax == "json" else read_yaml(text, with_lines=True).lines


def line_of(path: KeyPath, *, lines: Mapping[KeyPath, int]) -> int | None:
    """The line of ``path``, or of the nearest thing around it that is written down; ``None`` for the file as a whole."""
    for length in range(len(path), 0, -1):
        line = lines.get(path[:length])
        if line is not None:
            return line
    return None


def json_duplicates(text: str) -> tuple[TextProblem, ...]:
    """Every key that a mapping in ``text`` holds more than once, with both lines."""
    return tuple(
        TextProblem(
            line=line,
            path=path,
            found=f"the same key again (first on line {first})",
            allowed="each key once",
        )
        for path, first, line in _json_lines(text)[1]
    )


def _json_lines(text: str) -> tuple[dict[KeyPath, int], list[tuple[KeyPath, int, int]]]:
    lines: dict[KeyPath, int] = {}
    repeated: list[tuple[KeyPath, int, int]] = []
    seen: list[dict[str, int] | None] = []
    path: list[str | int] = []
    line, key_next = 1, False
    for match in _TOKEN.finditer(text):
        token = match.group()
        if token == "\n":
            line += 1
        elif token in "{[":
            _note_item(lines, seen, path, line)
            seen.append({} if token == "{" else None)
            path.append("" if token == "{" else 0)
            key_next = token == "{"
        elif token in "}]":
            seen.pop()
            path.pop()
            key_next = False
        elif token == ",":
            keys = seen[-1]
            key_next = keys is not None
            if keys is None:
                path[-1] = int(path[-1]) + 1
        elif token == ":":
            key_next = False
        elif key_next and (keys := seen[-1]) is not None:
            key = str(json.loads(token))
            path[-1] = key
            if key in keys:
                repeated.append((tuple(path), keys[key], line))
            keys.setdefault(key, line)
            lines.setdefault(tuple(path), line)
        else:
            _note_item(lines, seen, path, line)
    return lines, repeated


def _note_item(lines: dict[KeyPath, int], seen: list[dict[str, int] | None], path: list[str | int], line: int) -> None:
    if seen and seen[-1] is None:
        lines.setdefault(tuple(path), line)
