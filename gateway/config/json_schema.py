"""JSON Schema (draft 2020-12) of every kind of file, generated from the models the files are checked with."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from gateway.config.schema import ConfigFile, ProfileFile
from gateway.files.atomic import write_atomically

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

FILE_KINDS: Final[Mapping[str, tuple[type[ConfigFile], str]]] = MappingProxyType(
    {
        "models": (ConfigFile, "models.json, models.yaml: the layers a distribution or a team ships"),
        "user_models": (ConfigFile, "user_models.json: the operator's own layer"),
        "profile": (ProfileFile, "user_profiles/NAME.json: an overlay that an operator switches between"),
    }
)
"""Kind of file → what it is checked with, and what it is."""


def json_schemas() -> Mapping[str, str]:
    """File name → text, for every kind of file."""
    return {f"{kind}.schema.json": _text(kind) for kind in FILE_KINDS}


def write_schemas(folder: Path) -> tuple[str, ...]:
    """Write every schema that is not fresh into ``folder``; the names of those written."""
    stale = stale_schemas(folder)
    texts = json_schemas()
    folder.mkdir(parents=True, exist_ok=True)
    for name in stale:
        write_atomically(folder / name, texts[name].encode(), mode=0o644)
    return stale


def stale_schemas(folder: Path) -> tuple[str, ...]:
    """The names of the schemas in ``folder`` that are missing or differ from what would be written now."""
    return tuple(
        name
        for name, text in json_schemas().items()
        if not (folder / name).is_file() or (folder / name).read_text(encoding="utf-8") != text
    )


def _text(kind: str) -> str:
    model, title = FILE_KINDS[kind]
    schema = _tidy(model.model_json_schema(mode="validation", by_alias=True))
    schema.pop("description", None)
    schema = {"$schema": DIALECT, "$id": f"urn:rolegate:schema:1:{kind}", "title": title, **schema}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _tidy(node: Any, *, named: bool = False) -> Any:
    """Without the titles and null defaults that pydantic adds, and with names that match no pattern refused. ``named`` is for
    mappings whose keys are names out of a configuration, not words of JSON Schema."""
    if isinstance(node, list):
        return [_tidy(one) for one in node]
    if not isinstance(node, dict):
        return node
    if named:
        return {key: _tidy(value) for key, value in node.items()}
    tidy = {
        key: _tidy(value, named=key in ("properties", "$defs", "patternProperties"))
        for key, value in node.items()
        if key != "title" and not (key == "default" and value is None)
    }
    if "patternProperties" in tidy:
        tidy["additionalProperties"] = False
    return tidy
