"""Values as the text of a configuration file: JSON or YAML that reads back as just these values."""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

import yaml

from gateway.config.locate import Syntax
from gateway.config.yaml_text import read_yaml

_WIDTH: Final = 120
_STEP: Final = "  "
_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")


class _Dumper(yaml.SafeDumper):
    """Text that is not a plain word is quoted: YAML 1.1, which the dumper knows, and 1.2, by which configuration files are read,
    differ in what else might be a number."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _text_node(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if _PLAIN.fullmatch(text) else '"')


_Dumper.add_representer(str, _text_node)


def text_of(values: Mapping[str, object], *, syntax: Syntax) -> str:
    """``values`` as a file's text, with a final line break."""
    as_json = json_text(values)
    if syntax == "json":
        return as_json
    text: str = yaml.dump(dict(values), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDTH)
    # JSON is YAML too, for what the dumper has no way to write.
    return text if read_yaml(text).value == values else as_json


def json_text(values: Mapping[str, object]) -> str:
    """JSON as people write it: what holds no mapping and fits goes on one line."""
    return _json(values, "", 0) + "\n"


def _json(value: Any, indent: str, used: int) -> str:
    short = json.dumps(value, ensure_ascii=False, allow_nan=False)
    if not isinstance(value, Mapping | list) or not value:
        return short
    if not _holds_mappings(value) and len(indent) + used + len(short) <= _WIDTH:
        return short
    inner = indent + _STEP
    if isinstance(value, Mapping):
        keys = ((json.dumps(key, ensure_ascii=False), one) for key, one in value.items())
        rows = [f"{inner}{key}: {_json(one, inner, len(key) + 3)}" for key, one in keys]
        return "{\n" + ",\n".join(rows) + f"\n{indent}}}"
    rows = [f"{inner}{_json(one, inner, 1)}" for one in value]
    return "[\n" + ",\n".join(rows) + f"\n{indent}]"


def _holds_mappings(value: Mapping[str, object] | list[object]) -> bool:
    inner = value.values() if isinstance(value, Mapping) else value
    return any(isinstance(one, Mapping) and one for one in inner)
