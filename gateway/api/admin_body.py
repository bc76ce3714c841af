"""What an admin route is told in its body: a JSON object whose fields are all known."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Final

from starlette.requests import Request

from gateway.api.reply import CallerGone, read_body
from gateway.config.locate import json_duplicates
from gateway.config.set_path import format_set_path
from gateway.config.yaml_text import MAX_VALUES
from gateway.domain.nearest import nearest_name
from gateway.errors import BadRequest, RequestTooLarge
from gateway.relay.json_object import read_object

AT_ONCE_BYTES: Final = 64 << 10
"""What is read without leaving the event loop: longer bodies take their time elsewhere."""

ON: Final = ("1", "true", "yes")
OFF: Final = ("0", "false", "no")


async def read_content(request: Request, *, limit_bytes: int, required: bool = False) -> Mapping[str, object]:
    """The object in the body; empty where there is no body, and none is ``required``. Raises ``BadRequest`` for anything else."""
    if request.headers.get("content-length", "0") == "0" and "transfer-encoding" not in request.headers:
        if required:
            raise BadRequest("the request has no body", hint="send a JSON object; {} is one that says nothing")
        return {}
    try:
        body = await read_body(request.receive, limit_bytes=limit_bytes)
        return read_settings(body) if len(body) <= AT_ONCE_BYTES else await asyncio.to_thread(read_settings, body)
    except RequestTooLarge as large:
        large.hint = "send less"  # the limit of admin routes is not the one that a setting raises
        raise
    except CallerGone as gone:
        raise BadRequest("the caller left before its request was complete") from gone


def read_settings(body: bytes) -> Mapping[str, object]:
    """The object that ``body`` holds. Raises ``BadRequest`` for anything else, and for a key that stands there twice: nobody
    could tell which of its values is meant."""
    commas = body.count(b",")
    if commas > MAX_VALUES:  # reading all of them, only to refuse them, would hold up the requests
        raise BadRequest(
            f"found {commas:,} commas in the body; allowed: at most {MAX_VALUES:,} values",
            hint="no configuration needs that many",
        )
    content = read_object(body)
    repeated = False

    def mapping(pairs: list[tuple[str, object]]) -> None:
        nonlocal repeated
        repeated = repeated or len(dict(pairs)) != len(pairs)

    json.loads(body, object_pairs_hook=mapping)
    if repeated:
        twice = json_duplicates(body.decode())[0]
        where = format_set_path(twice.path)
        raise BadRequest(f"{where}: found {twice.found}; allowed: {twice.allowed}", param=where)
    return content


def only_fields(content: Mapping[str, object], *, known: Sequence[str]) -> Mapping[str, object]:
    """``content``, if it has no other fields than these. Raises ``BadRequest`` for the first that means nothing here."""
    for name in content:
        if name not in known:
            nearest = nearest_name(name, known)
            raise BadRequest(
                f'the field "{name}" is not known here; allowed: {", ".join(known) or "none"}',
                param=name,
                hint=f'did you mean "{nearest}"?' if nearest else "",
            )
    return content


def only_query(request: Request, *, known: Sequence[str]) -> Mapping[str, str]:
    """The query parameters; an empty one counts as not given. Raises ``BadRequest`` for one that means nothing here."""
    for name in request.query_params:
        if name not in known:
            allowed = ", ".join(known) or "none"
            raise BadRequest(f'there is no query parameter "{name}"; allowed: {allowed}', param=name)
    return {name: value for name, value in request.query_params.items() if value}


def flag_of(query: Mapping[str, str], name: str) -> bool:
    """A query parameter that is on or off; off when absent or empty. Raises ``BadRequest``."""
    given = query.get(name, "").casefold()
    if given in ON:
        return True
    if not given or given in OFF:
        return False
    raise BadRequest(f'{name}: found "{query[name]}"; allowed: 1 or 0', param=name)
