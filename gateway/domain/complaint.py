"""What upstream's refusals mean: an error body, unwrapped, and the failure class that it stands for.

Servers say the same thing in many ways, over whichever lane they are reached; the tables below are the only place that knows
their words.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from gateway.domain.failure import STATUS_CLASSES, FailureClass

MAX_MESSAGE_CHARS: Final = 1_000
MASK: Final = "**********"
_PART: Final = 16
"""Characters of a secret that are masked although the rest is missing; fewer are what providers have in common."""
_MAX_UNWRAPS: Final = 4

_CONTEXT_CODES: Final = frozenset({"context_length_exceeded", "exceed_context_size_error"})
_CONTEXT_WORDS: Final = re.compile(
    r"context.length|context.window|maximum context|exceeds? the (available|maximum) context|context size"
    r"|prompt is too long|prompt is longer than|input is too long|input length exceeds|too many (input )?tokens"
    r"|reduce the length of the (messages|prompt)|exceeds? the model'?s? (maximum|max) (length|tokens)"
    r"|exceeds the maximum number of tokens",
    re.IGNORECASE,
)
_PROMPT_COUNTS: Final = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"request \((\d+) tokens\)",
        r"messages resulted in (\d+) tokens",
        r"\((\d+) in the (?:messages|prompt)",
        r"prompt (?:is too long: |contains (?:at least )?|has )(\d+)",
        r"(\d+) (?:input )?tokens (?:from the input messages|> \d+ maximum)",
        r"requested (?:about )?(\d+) tokens",
        r"input token count \(?(\d+)",
    )
)
_POLICY_CODES: Final = frozenset({"content_policy_violation", "content_filter", "ResponsibleAIPolicyViolation"})
_POLICY_WORDS: Final = re.compile(
    r"content (management )?polic|content.filter|safety system|usage polic|blocked by .*polic", re.IGNORECASE
)
_CAPABILITY_WORDS: Final = re.compile(
    r"does(n't| not) support (tool|function|thinking|reasoning|chat|generate|completion|image|vision|multimodal|audio|insert)"
    r"|(image|audio|video) input is not supported|not support(ed)? (image|vision|audio|multimodal)"
    r"|is not a multimodal model|no endpoints found that support",
    re.IGNORECASE,
)
_LOAD_WORDS: Final = re.compile(
    r"llama-server process has terminated|llama runner process has terminated|timed out waiting for llama"
    r"|llama-server binary not found|error starting llama-server|failed to allocate|out of memory|cudaMalloc failed"
    r"|requires more system memory|(failed|unable) to load (the )?model|error loading model",
    re.IGNORECASE,
)
_CALLER_WORDS: Final = re.compile(r'^option "|^invalid format:|invalid message|invalid tool call', re.IGNORECASE)
_BUSY_WORDS: Final = re.compile(r"server busy|overloaded|loading model|at capacity|no slots? available", re.IGNORECASE)

_BY_KIND: Final = MappingProxyType(
    {
        "rate_limit_error": FailureClass.RATE_LIMIT,
        "rate_limit_exceeded": FailureClass.RATE_LIMIT,
        "insufficient_quota": FailureClass.RATE_LIMIT,
        "overloaded_error": FailureClass.OVERLOADED,
        "unavailable_error": FailureClass.OVERLOADED,
        "authentication_error": FailureClass.AUTH,
        "permission_error": FailureClass.AUTH,
        "invalid_api_key": FailureClass.AUTH,
        "model_not_found": FailureClass.GONE,
        "not_found_error": FailureClass.GONE,
        "invalid_request_error": FailureClass.BAD_REQUEST,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint:
    """An error body, unwrapped. ``kinds`` are its type and code; ``status`` is one that stood inside the body."""

    message: str
    kinds: tuple[str, ...] = ()
    status: int | None = None
    prompt_tokens: int | None = None


def complaint(body: object, *, secrets: Sequence[str] = ()) -> Complaint:
    """Read an error in any of the shapes servers use: a string, an object, either of them as JSON inside a string.

    Any of ``secrets`` that the message repeats is masked.
    """
    message, kinds = "", []
    status: int | None = None
    prompt_tokens: int | None = None
    for _ in range(_MAX_UNWRAPS):
        if isinstance(body, bytes | str):
            message = body.decode("utf-8", "replace") if isinstance(body, bytes) else body
            body = _json_inside(message)
        if isinstance(body, dict):
            kinds += [str(value) for name in ("type", "code") if isinstance(value := body.get(name), str)]
            code = body.get("code", body.get("status"))
            status = code if type(code) is int else status
            count = body.get("n_prompt_tokens")
            prompt_tokens = count if type(count) is int else prompt_tokens
            body = next((body[name] for name in ("error", "message", "detail") if body.get(name)), None)
        elif isinstance(body, list):
            body = body[0] if body else None
        elif body is None:
            break
    sayable = redacted(message, secrets=secrets).encode("utf-8", "replace").decode()
    return Complaint(
        message=" ".join(sayable.split())[:MAX_MESSAGE_CHARS],
        kinds=tuple(dict.fromkeys(kinds)),
        status=status,
        prompt_tokens=prompt_tokens,
    )


def redacted(text: str, *, secrets: Sequence[str]) -> str:
    """``text`` without any of ``secrets``, the longest first so that none hides inside another, and without the beginning of one:
    some servers repeat a key shortened."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, MASK)
        if len(secret) > _PART:
            text = _without_beginning(text, secret=secret)
    return text


def _without_beginning(text: str, *, secret: str) -> str:
    while (place := text.find(secret[:_PART])) >= 0:
        length = _PART
        while text[place + length : place + length + 1] == secret[length : length + 1] != "":
            length += 1
        text = f"{text[:place]}{MASK}{text[place + length :]}"
    return text


def _json_inside(text: str) -> object:
    if text.lstrip()[:1] not in {"{", "["}:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def failure_class(found: Complaint, *, status: int | None, keyed: bool, loading: bool = False) -> FailureClass:
    """The failure that an error answer stands for.

    ``status`` is ``None`` for an error inside a stream that began well. ``keyed`` says that the provider is a cloud one or was
    sent a key: only then is a 401 or 403 about the key. ``loading`` marks an answer to a preload.
    """
    status = found.status if status is None else status
    by_words = _by_words(found, status=status)
    if by_words is not None:
        return by_words
    if status is None or status == 200:
        kinds = (_BY_KIND[kind] for kind in found.kinds if kind in _BY_KIND)
        by_kind = next(kinds, FailureClass.UPSTREAM_ERROR)
        if by_kind is FailureClass.AUTH and not keyed:
            return FailureClass.UPSTREAM_ERROR
        return FailureClass.OVERLOADED if _BUSY_WORDS.search(found.message) else by_kind
    if loading and status == 500:
        return FailureClass.LOAD_FAILED
    if status in {401, 403} and not keyed:
        return FailureClass.UPSTREAM_ERROR
    return STATUS_CLASSES.get(status, FailureClass.UPSTREAM_ERROR)


def _by_words(found: Complaint, *, status: int | None) -> FailureClass | None:
    """The class that the body itself names, whatever the status; ``None`` leaves it to the status."""
    kinds, message = set(found.kinds), found.message
    if kinds & _CONTEXT_CODES:
        return FailureClass.CONTEXT_LENGTH
    if status not in {None, 200, 400, 404, 413, 422, 500, 501}:
        return None
    if _CONTEXT_WORDS.search(message) and status not in {404, 501}:
        return FailureClass.CONTEXT_LENGTH
    if kinds & _POLICY_CODES or (status in {None, 400} and _POLICY_WORDS.search(message)):
        return FailureClass.CONTENT_POLICY
    if _CAPABILITY_WORDS.search(message):
        return FailureClass.CAPABILITY
    if status in {None, 200, 500} and _LOAD_WORDS.search(message):
        return FailureClass.LOAD_FAILED
    if status == 500 and _CALLER_WORDS.search(message):
        return FailureClass.BAD_REQUEST
    return None


def counted_tokens(found: Complaint) -> int | None:
    """The length of the prompt as upstream counted it, where it says so."""
    if found.prompt_tokens is not None:
        return found.prompt_tokens
    for pattern in _PROMPT_COUNTS:
        match = pattern.search(found.message)
        if match:
            return int(match.group(1))
    return None
