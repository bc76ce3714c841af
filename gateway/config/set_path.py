"""Set paths: how one value inside a configuration is named.

Dots between keys, ``[0]`` for places in a list, quoted brackets for keys that a dot would cut:
``model_profiles["llama3.1:8b"].capabilities.context_length``.
"""

import json
import re
from collections.abc import Iterable
from typing import Final

KeyPath = tuple[str | int, ...]
"""A set path taken apart: keys as text, places in lists as numbers from 0."""

_PLAIN: Final = re.compile(r"[A-Za-z0-9_-]+")
_STEP: Final = re.compile(r'(?P<key>[^.\[\]"\s]+)|\[(?P<place>\d{1,9})\]|\[(?P<quoted>"(?:[^"\\]|\\.)*")\]')


def format_set_path(keys: Iterable[str | int]) -> str:
    """The set path of ``keys``; empty for none."""
    text = ""
    for key in keys:
        if isinstance(key, int):
            text += f"[{key}]"
        elif _PLAIN.fullmatch(key):
            text += f".{key}" if text else key
        else:
            text += f"[{json.dumps(key, ensure_ascii=not key.isprintable())}]"
    return text


def parse_set_path(text: str) -> KeyPath:
    """The keys of a set path. Raises ``ValueError`` with a sentence when ``text`` is none."""
    keys: list[str | int] = []
    position = 0
    while position < len(text):
        if text[position] == "." and keys:
            position += 1
            step = _STEP.match(text, position) if text[position : position + 1] != "[" else None
        else:
            step = _STEP.match(text, position)
            if step is not None and step["key"] is not None and keys:
                step = None
        if step is None:
            raise ValueError(
                f'"{text}" is not a set path: character {position + 1} does not fit; write dots between keys, [0] for a '
                'place in a list, and ["a.b"] for a key with dots'
            )
        if step["place"] is not None:
            keys.append(int(step["place"]))
        elif step["quoted"] is not None:
            keys.append(_unquoted(step["quoted"], text))
        else:
            keys.append(step["key"])
        position = step.end()
    if not keys:
        raise ValueError("a set path names at least one key")
    return tuple(keys)


def _unquoted(quoted: str, text: str) -> str:
    try:
        return str(json.loads(quoted))
    except ValueError as exc:
        raise ValueError(f'"{text}" is not a set path: {quoted} is not a JSON string') from exc
