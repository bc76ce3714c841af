"""One YAML file as plain, frozen data, with the line of every value and every problem found in it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

import yaml

from gateway.errors import Problem

SIZE_LIMIT_BYTES: Final = 256 * 1024

_CORE: Final = "tag:yaml.org,2002:"
_SCALARS: Final = frozenset(f"{_CORE}{name}" for name in ("str", "int", "float", "bool", "null"))
_PLAIN_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What one file holds. ``lines`` maps set paths to lines, from 1; the empty path is the file's first."""

    file: str
    content: Mapping[str, object]
    lines: Mapping[str, int]

    def problem(self, path: str, *, found: str, allowed: str, nearest: str = "", hint: str = "") -> Problem:
        """A problem at ``path``, on its line or, where it is missing, on the line of what should hold it."""
        at = path
        while at and at not in self.lines:
            at = at.rpartition(".")[0]
        return Problem(
            file=self.file,
            line=self.lines.get(at),
            key_path=path,
            found=found,
            allowed=allowed,
            nearest=nearest,
            hint=hint,
        )


def child_path(path: str, key: str) -> str:
    """The set path of ``key`` under ``path``."""
    if not _PLAIN_KEY.fullmatch(key):
        return f'{path}["{key}"]'
    return f"{path}.{key}" if path else key


def read_source(path: Path) -> tuple[Source | None, tuple[Problem, ...]]:
    """Read and check one file; a source only where no problem was found."""
    text = _text(path)
    if isinstance(text, Problem):
        return None, (text,)
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        reader = _Reader(file=str(path), loader=loader)
        content = None if node is None else reader.value(node, "")
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        found = " ".join(part for part in (error.context, error.problem) if part)
        line = None if mark is None else mark.line + 1
        return None, (Problem(file=str(path), line=line, found=f"broken YAML ({found})", allowed="one YAML document"),)
    except RecursionError:
        return None, (Problem(file=str(path), found="YAML nested beyond measure", allowed="a few levels"),)
    finally:
        loader.dispose()
    if not isinstance(content, Mapping):
        found = "nothing" if content is None else "no mapping"
        return None, (Problem(file=str(path), line=1, found=found, allowed="a mapping of names to values"),)
    if reader.problems:
        return None, tuple(reader.problems)
    return Source(file=str(path), content=content, lines=MappingProxyType(reader.lines)), ()


def _text(path: Path) -> str | Problem:
    def problem(found: str, allowed: str = "a YAML file in UTF-8", line: int | None = None) -> Problem:
        return Problem(file=str(path), line=line, found=found, allowed=allowed)

    try:
        with path.open("rb") as file:
            data = file.read(SIZE_LIMIT_BYTES + 1)
    except FileNotFoundError:
        return problem("no such file")
    except IsADirectoryError:
        return problem("a directory")
    except OSError as error:
        return problem(f"a file that cannot be read ({error.strerror or error})")
    if len(data) > SIZE_LIMIT_BYTES:
        return problem(f"more than {SIZE_LIMIT_BYTES} bytes", f"at most {SIZE_LIMIT_BYTES} bytes")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return problem("bytes that are not UTF-8", line=data[: error.start].count(b"\n") + 1)
    refused = yaml.reader.Reader.NON_PRINTABLE.search(text)
    if refused:
        return problem("control characters", line=text[: refused.start()].count("\n") + 1)
    return text


class _Reader:
    """Walks YAML nodes: plain data out, lines and problems noted on the way."""

    def __init__(self, *, file: str, loader: yaml.SafeLoader) -> None:
        self.lines: dict[str, int] = {}
        self.problems: list[Problem] = []
        self._file = file
        self._loader = loader
        self._seen: set[int] = set()

    def value(self, node: yaml.Node, path: str) -> object:
        self.lines[path] = node.start_mark.line + 1
        if id(node) in self._seen:
            self._refuse(node, path, found="an alias", allowed="the value written out")
            return None
        self._seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return tuple(self.value(entry, f"{path}[{index}]") for index, entry in enumerate(node.value))
        if node.tag not in _SCALARS:
            kind = node.tag.removeprefix(_CORE)
            self._refuse(node, path, found=f"a value of type {kind}", allowed="text, a number, true, false or null")
            return None
        try:
            return self._loader.construct_object(node)
        except ValueError:
            self._refuse(node, path, found=f'"{node.value}"', allowed="text in quotes, or a number")
            return None

    def _mapping(self, node: yaml.MappingNode, path: str) -> Mapping[str, object]:
        content: dict[str, object] = {}
        for key_node, value_node in node.value:
            key = key_node.value
            if key_node.tag != f"{_CORE}str":
                self._refuse(
                    key_node, path, found="a key that is not text", allowed="text as keys, in quotes if need be"
                )
                continue
            at = child_path(path, key)
            if key in content:
                self._refuse(key_node, at, found="the same key twice", allowed="each key once")
                continue
            content[key] = self.value(value_node, at)
            self.lines[at] = key_node.start_mark.line + 1
        return MappingProxyType(content)

    def _refuse(self, node: yaml.Node, path: str, *, found: str, allowed: str) -> None:
        self.problems.append(
            Problem(file=self._file, line=node.start_mark.line + 1, key_path=path, found=found, allowed=allowed)
        )
