"""The request parameters that a role sets: those of OpenAI's chat API by their documented types and ranges, any other as JSON.

Names that OpenAI does not document are allowed, since providers take parameters of their own.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from gateway.config.entry import Entry
from gateway.config.fields import Allowed, Flag
from gateway.config.set_path import KeyPath

RESERVED_PARAMETERS: Final = ("input", "messages", "model", "prompt", "stream", "stream_options")
"""Request fields that a role cannot set: they are the caller's, or the gateway's own."""

MAX_PARAMETER_DEPTH: Final = 32
MAX_STOPS: Final = 4

NAME_ERROR: Final = "parameter_name"
DEPTH_ERROR: Final = "parameter_depth"
VALUE_ERROR: Final = "parameter_value"
"""Types of error that carry in their message what is allowed."""

_LEAST_INTEGER: Final = -(2**63)
_MOST_INTEGER: Final = 2**63 - 1


def _stop(value: object) -> object:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and len(value) <= MAX_STOPS and all(isinstance(one, str) for one in value):
        return value
    raise PydanticCustomError("stop", "no stop")


def _text_or_mapping(value: object) -> object:
    if isinstance(value, str | dict):
        return value
    raise PydanticCustomError("tool_choice", "no tool choice")


_Penalty = Annotated[float, Field(ge=-2, le=2), Allowed("a number from -2 to 2")]
_Tokens = Annotated[int, Field(ge=1), Allowed("a whole number of tokens, at least 1")]
_Stop = Annotated[
    Any,
    AfterValidator(_stop),
    WithJsonSchema({"type": ["string", "array"], "items": {"type": "string"}, "maxItems": MAX_STOPS}),
    Allowed(f"text, or a list of at most {MAX_STOPS} texts"),
]


class ParametersEntry(Entry):
    """Request defaults of a role. ``written`` is the mapping as it stands in the file, without any value converted."""

    model_config = ConfigDict(
        extra="allow", json_schema_extra={"propertyNames": {"not": {"enum": ["", *RESERVED_PARAMETERS]}}}
    )

    temperature: Annotated[float, Field(ge=0, le=2), Allowed("a number from 0 to 2")] | None = None
    top_p: Annotated[float, Field(ge=0, le=1), Allowed("a number from 0 to 1")] | None = None
    presence_penalty: _Penalty | None = None
    frequency_penalty: _Penalty | None = None
    max_tokens: _Tokens | None = None
    max_completion_tokens: _Tokens | None = None
    seed: (
        Annotated[
            int,
            Field(ge=_LEAST_INTEGER, le=_MOST_INTEGER),
            Allowed("a whole number of 64 bits (from -2^63 to 2^63 - 1)"),
        ]
        | None
    ) = None
    stop: _Stop | None = None
    n: Annotated[int, Field(ge=1, le=1), Allowed("1")] | None = None
    logprobs: Flag | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20), Allowed("a whole number from 0 to 20")] | None = None
    logit_bias: (
        Annotated[dict[str, Annotated[float, Allowed("a number")]], Allowed("a mapping of token ids to numbers")] | None
    ) = None
    tools: (
        Annotated[list[Annotated[dict[str, Any], Allowed("a mapping")]], Allowed("a list of tools, each a mapping")]
        | None
    ) = None
    tool_choice: (
        Annotated[
            Any,
            AfterValidator(_text_or_mapping),
            WithJsonSchema({"type": ["string", "object"]}),
            Allowed("text or a mapping"),
        ]
        | None
    ) = None
    parallel_tool_calls: Flag | None = None
    response_format: Annotated[dict[str, Any], Allowed("a mapping")] | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "max", "xhigh"] | None = None
    user: Annotated[str, Allowed("text")] | None = None

    _written: Mapping[str, Any] = PrivateAttr(default_factory=dict)

    @property
    def written(self) -> Mapping[str, Any]:
        return self._written

    @model_validator(mode="wrap")
    @classmethod
    def _whole(cls, value: Any, handler: ModelWrapValidatorHandler["ParametersEntry"]) -> "ParametersEntry":
        if not isinstance(value, Mapping):
            return handler(value)
        entry: ParametersEntry | None = None
        errors: list[InitErrorDetails] = []
        try:
            entry = handler(value)
        except ValidationError as exc:
            errors += [_again(error) for error in exc.errors(include_url=False)]
        errors += _beyond_the_fields(value, told={error["loc"][0] for error in errors})
        if entry is None or errors:
            raise ValidationError.from_exception_data(cls.__name__, errors)
        entry._written = value  # noqa: SLF001 (its own)
        return entry


def _again(error: Any) -> InitErrorDetails:
    """An error of the fields, to be raised beside those that no field has."""
    return InitErrorDetails(
        type=PydanticCustomError(error["type"], "no value of the field"), loc=error["loc"], input=error["input"]
    )


def _beyond_the_fields(values: Mapping[str, Any], *, told: set[int | str]) -> Iterator[InitErrorDetails]:
    for name, value in values.items():
        if not name or name in RESERVED_PARAMETERS:
            allowed = f"a request parameter other than {', '.join(RESERVED_PARAMETERS)}"
            yield InitErrorDetails(type=PydanticCustomError(NAME_ERROR, allowed), loc=(name,), input=name)
        elif name not in told:
            for path, kind, allowed, found in _unsendable(value, (name,)):
                yield InitErrorDetails(type=PydanticCustomError(kind, allowed), loc=path, input=found)


def _unsendable(value: object, path: KeyPath) -> Iterator[tuple[KeyPath, str, str, object]]:
    """What a provider could not be sent: numbers that its JSON cannot hold, and nesting that its reader refuses."""
    if isinstance(value, int) and not _LEAST_INTEGER <= value <= _MOST_INTEGER:
        yield path, VALUE_ERROR, "whole numbers of 64 bits (from -2^63 to 2^63 - 1)", value
    elif isinstance(value, dict | list):
        if len(path) > MAX_PARAMETER_DEPTH:
            yield path[:1], DEPTH_ERROR, f"at most {MAX_PARAMETER_DEPTH} levels", value
            return
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _unsendable(inner, (*path, key))
