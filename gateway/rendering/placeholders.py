"""Placeholders: ``${name}``, ``${name|default}`` and the literal ``$${``."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

import yaml

_PLACEHOLDER: Final = re.compile(
    r"(?P<literal>\$\$\{)|\$\{(?P<name>[^{}|]*)(?:\|(?P<default>[^{}]*))?\}|(?P<open>\$\{)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Placeholder:
    """One placeholder in a text. ``default`` is what follows the bar, ``None`` without one."""

    name: str
    default: str | None

    @property
    def default_is_scalar(self) -> bool:
        """Whether the default, if there is one, reads as text, a number, true, false or null."""
        try:
            return self.default is None or not isinstance(yaml.safe_load(self.default), (dict, list, date))
        except yaml.YAMLError:
            return False

    def value(self, values: Mapping[str, object]) -> object:
        """Its value, or its default read as a YAML scalar; ``None`` where neither is known."""
        known = values[self.name]
        return yaml.safe_load(self.default) if known is None and self.default is not None else known


def placeholders(text: str) -> tuple[Placeholder, ...]:
    """The placeholders in ``text``, in their order."""
    return tuple(
        Placeholder(name=found["name"], default=found["default"])
        for found in _PLACEHOLDER.finditer(text)
        if found["name"] is not None
    )


def unclosed(text: str) -> bool:
    """Whether ``text`` opens a placeholder that it does not close."""
    return any(found["open"] for found in _PLACEHOLDER.finditer(text))


def fill(template: object, values: Mapping[str, object]) -> object:
    """``template`` with every placeholder replaced, as new plain data.

    ``None`` stands for what is unknown: keys and list entries that come to it through a placeholder are left out, those
    that are ``null`` in the template stay. Every name must be in ``values``.
    """
    if isinstance(template, str):
        return _filled_text(template, values)
    if isinstance(template, Mapping):
        filled = {key: (entry, fill(entry, values)) for key, entry in template.items()}
        return {key: value for key, (entry, value) in filled.items() if entry is None or value is not None}
    if isinstance(template, Sequence):
        entries = [(entry, fill(entry, values)) for entry in template]
        return [value for entry, value in entries if entry is None or value is not None]
    return template


def _filled_text(text: str, values: Mapping[str, object]) -> object:
    whole = _PLACEHOLDER.fullmatch(text)
    if whole is not None and whole["name"] is not None:
        return Placeholder(name=whole["name"], default=whole["default"]).value(values)
    parts: list[str] = []
    end = 0
    for found in _PLACEHOLDER.finditer(text):
        parts.append(text[end : found.start()])
        end = found.end()
        if found["literal"]:
            parts.append("${")
            continue
        value = Placeholder(name=found["name"], default=found["default"]).value(values)
        if value is None:
            return None
        parts.append(str(value))
    return "".join([*parts, text[end:]])
