"""A request body as a JSON object, with what every kind of request says in the same way."""

from collections.abc import Mapping
from typing import Final

import orjson

from gateway.errors import BadRequest
from gateway.relay.depth import MAX_DEPTH, too_deep_field
from gateway.relay.fields import kind_of, wrong

MAX_MODEL_CHARS: Final = 256
"""A name this long is nobody's; a longer one would only be searched for, logged and repeated at length."""


def read_object(body: bytes) -> dict[str, object]:
    """The object that ``body`` holds. Raises ``BadRequest`` for anything else, and for one nested too deeply."""
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise BadRequest(f"the body is not valid JSON: {exc}") from exc
    if not isinstance(content, dict):
        raise BadRequest(f"the body must be a JSON object; found {kind_of(content)}")
    deep = too_deep_field(content, raw=body)
    if deep is not None:
        where = deep if len(deep) <= 60 else f"{deep[:57]}..."
        allowed = f"at most {MAX_DEPTH} levels of objects and lists in the whole body"
        raise BadRequest(f"{where}: found JSON nested too deeply; allowed: {allowed}", param=where)
    return content


def model_of(content: Mapping[str, object]) -> str:
    """The role or model that is asked for. Raises ``BadRequest``."""
    model = content.get("model")
    if not isinstance(model, str) or not model:
        raise wrong("model", found=model, allowed="the name of a role or model")
    if len(model) > MAX_MODEL_CHARS:
        allowed = f"the name of a role or model, of at most {MAX_MODEL_CHARS} characters"
        raise BadRequest(f"model: found a name of {len(model)} characters; allowed: {allowed}", param="model")
    return model


def wants_usage(content: Mapping[str, object]) -> bool:
    """Whether a stream must end with the token counts (``stream_options.include_usage``)."""
    options = content.get("stream_options")
    return isinstance(options, Mapping) and options.get("include_usage") is True
