"""Requests drawn from an OpenAPI document: as it describes them, and nearly so."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

import orjson
from hypothesis import strategies as st

_DEEP: Final = 4
_WORDS: Final = st.sampled_from(
    ["planner", "fast", "nobody", "mistral:latest", "ollama:llama3.1:8b", "", "0", "-1", "true", "*", "1e999", "é", "../x"]
)  # fmt: skip
TEXTS: Final = _WORDS | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_LEAVES: Final = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | TEXTS
ANYTHING: Final = st.recursive(
    _LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=6
)


def values(schema: Mapping[str, Any], *, within: Mapping[str, Any], depth: int = 0) -> st.SearchStrategy[Any]:
    """What ``schema`` describes, and now and then something else. ``within`` are the document's schemas by name."""
    described = _described(schema, within=within, depth=depth)
    return st.integers(0, 9).flatmap(lambda dice: ANYTHING if dice == 0 else described)


def _described(schema: Mapping[str, Any], *, within: Mapping[str, Any], depth: int) -> st.SearchStrategy[Any]:
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return st.deferred(lambda: values(within[name], within=within, depth=depth + 1))
    if "const" in schema:
        return st.just(schema["const"])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    for word in ("anyOf", "oneOf"):
        if word in schema:
            return st.one_of([values(one, within=within, depth=depth) for one in schema[word]])
    least, most = schema.get("minimum"), schema.get("maximum")
    match schema.get("type"):
        case "boolean":
            return st.booleans()
        case "null":
            return st.none()
        case "integer":
            return st.integers(min_value=least, max_value=most)
        case "number":
            return st.floats(min_value=least, max_value=most, allow_nan=False)
        case "string":
            return TEXTS
        case "array" if depth < _DEEP:
            return st.lists(values(schema.get("items", {}), within=within, depth=depth + 1), max_size=2)
        case "object" if depth < _DEEP:
            return _objects(schema, within=within, depth=depth)
    return ANYTHING


def _objects(schema: Mapping[str, Any], *, within: Mapping[str, Any], depth: int) -> st.SearchStrategy[Any]:
    known = schema.get("properties", {})
    rest = schema.get("additionalProperties")
    fields = {name: values(one, within=within, depth=depth + 1) for name, one in known.items()}
    if not isinstance(rest, dict):
        # A few of many: a whole profile at once is nearly never one that holds.
        chosen = st.lists(st.sampled_from(sorted(fields)), max_size=3, unique=True) if fields else st.just([])
        return chosen.flatmap(lambda names: st.fixed_dictionaries({name: fields[name] for name in names}))
    return st.dictionaries(TEXTS, values(rest, within=within, depth=depth + 1), max_size=2)


@st.composite
def requests(draw: st.DrawFn, *, document: Mapping[str, Any], method: str, path: str) -> dict[str, Any]:
    """Arguments for an HTTP client: ``url``, ``headers`` and ``content``."""
    described = document["paths"][path][method]
    within = document["components"]["schemas"]
    url, headers, query = path, {}, {}
    for one in described.get("parameters", ()):
        drawn = draw(values(one["schema"], within=within))
        text = drawn if isinstance(drawn, str) else str(drawn)
        if one["in"] == "path":
            url = url.replace(f"{{{one['name']}}}", quote(text, safe=":", errors="replace") or "x")
        elif draw(st.booleans()) and one["in"] == "query":
            query[one["name"]] = text
        elif one["in"] == "header" and text.isascii() and text.isprintable() and draw(st.booleans()):
            headers[one["name"]] = text
    content = b""
    if "requestBody" in described:
        schema = described["requestBody"]["content"]["application/json"]["schema"]
        content = draw(
            st.just(b"") | values(schema, within=within).map(_json) | values(schema, within=within).map(_json)
            | st.binary(max_size=20)
        )  # fmt: skip
    more = draw(st.just({}) | st.dictionaries(TEXTS, TEXTS, max_size=1))
    return {
        "url": f"{url}?{urlencode({**query, **more}, errors='replace')}" if query or more else url,
        "headers": {"content-type": "application/json", **headers},
        "content": content,
    }


def _json(value: object) -> bytes:
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:  # an integer of more than 64 bits
        return b"{}"
