"""The kinds of value a configuration file may hold, each with the words that say what is allowed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, WithJsonSchema
from pydantic_core import PydanticCustomError

from gateway.config.wording import choices
from gateway.domain.keeping import checked_keep_alive
from gateway.domain.nearest import nearest_name
from gateway.errors import BadRequest

_STAY: Final = r"^(?=.*[1-9])[+-]?(\d+|((\d+(\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h))+)$"
KEEP_ALIVE_SCHEMA: Final[dict[str, Any]] = {
    "anyOf": [{"type": "string", "pattern": _STAY}, {"type": "integer", "not": {"const": 0}}]
}


def _no_suggestion(_value: object) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Allowed:
    """What a field's value may be, for messages. ``suggest`` gives the nearest valid value to a wrong one, or nothing."""

    text: str
    suggest: Callable[[object], str] = _no_suggestion


def one_of(names: Sequence[str]) -> Allowed:
    """What is allowed where only these names are, with the nearest of them."""
    return Allowed(choices(names), lambda value: nearest_name(value, names) if isinstance(value, str) else "")


def _scheme_added(value: object) -> str:
    if not isinstance(value, str) or "://" in value or not value.strip():
        return ""
    candidate = f"http://{value.strip()}"
    return candidate if is_url(candidate) else ""


def is_url(text: str) -> bool:
    """Whether ``text`` is an address of a server and nothing else, that every reader of it reads alike."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    if (
        parts.scheme not in ("http", "https")
        or not parts.hostname
        or any(one.isspace() or not one.isprintable() for one in text)
    ):
        return False
    if "@" in parts.netloc or "\\" in text:
        return False
    return port != 0 and not (parts.query or parts.fragment)


def _url(text: str) -> str:
    if not is_url(text):
        raise PydanticCustomError("url", "not a URL")
    return text.rstrip("/")


def _keep_alive(value: object) -> str | int:
    try:
        return checked_keep_alive(value)
    except BadRequest as exc:
        raise PydanticCustomError("keep_alive", "not a time to keep a model for") from exc


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


Score = Annotated[float, Field(ge=0, le=1), Allowed("a number from 0 to 1")]
Weight = Annotated[float, Field(ge=0, le=1000), Allowed("a number from 0 to 1000")]
Margin = Annotated[float, Field(ge=0, lt=1), Allowed("a number from 0 to less than 1")]
Gigabytes = Annotated[float, Field(gt=0, le=100_000), Allowed("a number of GB (10^9 bytes) over 0, at most 100000")]
Billions = Annotated[float, Field(gt=0, le=100_000), Allowed("a number of 10^9 parameters over 0, at most 100000")]
Seconds = Annotated[float, Field(gt=0, le=86_400), Allowed("a number of seconds over 0, at most 86400")]
Dwell = Annotated[float, Field(ge=0, le=86_400), Allowed("a number of seconds from 0 to 86400")]
Celsius = Annotated[float, Field(gt=0, le=150), Allowed("a number of degrees Celsius over 0, at most 150")]
Price = Annotated[float, Field(ge=0, le=1_000_000), Allowed("a number of US dollars from 0 to 1000000")]
Tokens = Annotated[int, Field(ge=1, le=100_000_000), Allowed("a whole number of tokens from 1 to 100000000")]
Parallel = Annotated[int, Field(ge=1, le=10_000), Allowed("a whole number from 1 to 10000")]
Queue = Annotated[int, Field(ge=0, le=1_000_000), Allowed("a whole number from 0 to 1000000")]
Characters = Annotated[int, Field(ge=1, le=1_000_000), Allowed("a whole number of characters from 1 to 1000000")]
MaxDeployments = Annotated[int, Field(ge=1, le=64), Allowed("a whole number from 1 to 64")]
KeepAlive = Annotated[
    str | int,
    BeforeValidator(_keep_alive),
    WithJsonSchema(KEEP_ALIVE_SCHEMA),
    Allowed("a time with its unit (30m, 1h30m), a whole number of seconds, or -1 for ever"),
]
Flag = Annotated[bool, Allowed("true or false")]
Line = Annotated[str, StringConstraints(min_length=1), Allowed("text")]
Url = Annotated[
    str,
    Field(pattern=r"^https?://[^\s\x00-\x1f\x7f]+$"),
    AfterValidator(_url),
    Allowed("an http:// or https:// address without spaces, user, password, query or fragment", _scheme_added),
]

Reference = Annotated[
    str,
    StringConstraints(pattern=r"^[^\s:](\S*[^\s:])?$", max_length=512),
    Allowed('a model reference, such as "mistral:latest" or "openai:gpt-4o-mini"'),
]
OneOrMany = Annotated[
    list[Reference],
    BeforeValidator(_as_list, json_schema_input_type=Reference | list[Reference]),
    Allowed("a model reference or a list of them"),
]
ModelName = Annotated[
    str,
    StringConstraints(pattern=r"^[^\s:](\S*[^\s:])?$", max_length=512),
    Allowed('a model\'s name, such as "mistral:latest"'),
]
FilePath = Annotated[str, StringConstraints(min_length=1, pattern=r"^[^\x00]+$"), Allowed("a path to a file")]
RoleName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]+$"), Allowed("a role name of letters, digits, _, . and -")
]
ProviderName = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z][a-z0-9_-]*$"),
    Allowed("a provider name of lower-case letters, digits, _ and -, beginning with a letter"),
]
ProfileName = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9_.-]*$"),
    Allowed("the name of a profile: letters, digits, _, - and . (not first)"),
]
LiteLLMName = Annotated[
    str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$"), Allowed('a provider\'s name in LiteLLM, such as "anthropic"')
]
