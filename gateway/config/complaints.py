"""What the schema says of one file, as problems: where, what was found, what is allowed, the nearest valid name."""

from collections.abc import Mapping
from contextlib import suppress
from types import UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from gateway.config.document import SCHEMA_VERSION, Document
from gateway.config.environ import key_variable
from gateway.config.fields import Allowed, one_of
from gateway.config.merge import value_at
from gateway.config.parameters import DEPTH_ERROR, MAX_PARAMETER_DEPTH, NAME_ERROR, VALUE_ERROR
from gateway.config.schema import ConfigFile
from gateway.config.set_path import KeyPath
from gateway.config.wording import found, listed, quoted
from gateway.domain.nearest import nearest_name
from gateway.errors import Problem

MOST_PROBLEMS: Final = 200
"""Problems of the schema told of one file; the rest is counted."""

_KEY: Final = "[key]"
_SECRET_NAMES: Final = frozenset({"api_key", "apikey", "key", "token", "secret", "password"})


def schema_problems(document: Document, *, model: type[ConfigFile]) -> tuple[Problem, ...]:
    """Everything in ``document`` that ``model`` does not allow, in the file's order. Nothing for one without data."""
    if document.data is None:
        return ()
    newer = newer_version(document)
    if newer is not None:
        return (newer,)
    try:
        model.model_validate(document.data)
    except ValidationError as exc:
        errors = exc.errors(include_url=False, include_context=False)
    else:
        return ()
    problems = [_problem(document, model, error) for error in errors[:MOST_PROBLEMS]]
    if len(errors) > MOST_PROBLEMS:
        more = f"{len(errors) - MOST_PROBLEMS} more problems"
        problems.append(Problem(file=document.file, found=more, allowed="none", hint="mend the first ones"))
    return tuple(problems)


def newer_version(document: Document) -> Problem | None:
    """The problem of a file of a version that nobody knew when this rolegate was made."""
    version = (document.data or {}).get("schema_version")
    if not isinstance(version, int) or isinstance(version, bool) or version <= SCHEMA_VERSION:
        return None
    return document.problem(
        ("schema_version",),
        found=f"{version}, which is newer than this rolegate",
        allowed=str(SCHEMA_VERSION),
        hint=f"upgrade rolegate, or use a file of schema_version {SCHEMA_VERSION}",
    )


def _problem(document: Document, model: type[BaseModel], error: Mapping[str, Any]) -> Problem:
    location: tuple[str | int, ...] = error["loc"]
    if location and location[-1] == _KEY:
        path = location[:-1]
        allowed = _key_allowed(model, path[:-1])
        return document.problem(path, found=f"the name {quoted(str(path[-1]))}", allowed=allowed.text)
    if error["type"] == NAME_ERROR:
        return document.problem(location, found=f"the name {quoted(str(location[-1]))}", allowed=error["msg"])
    if error["type"] == DEPTH_ERROR:
        deep = f"values nested more than {MAX_PARAMETER_DEPTH} deep"
        return document.problem(location, found=deep, allowed=error["msg"])
    if error["type"] == VALUE_ERROR:
        return document.problem(location, found=found(error["input"]), allowed=error["msg"])
    if error["type"] == "extra_forbidden":
        name = str(location[-1])
        known = _keys(model, location[:-1])
        return document.problem(
            location,
            found=f"the unknown key {quoted(name)}",
            allowed=listed(known),
            nearest=nearest_name(name, known),
            hint=_secret_hint(name, location),
        )
    if error["type"] == "missing":
        return document.problem(location[:-1], found=f"no {location[-1]}", allowed=_allowed(model, location).text)
    path = _written(document.data, location)
    allowed = _allowed(model, path)
    value = error["input"]
    return document.problem(path, found=found(value), allowed=allowed.text, nearest=allowed.suggest(value))


def _written(values: object, location: KeyPath) -> KeyPath:
    """The part of ``location`` that the file spells out; a single value stands for a list of one without its place."""
    for length in range(len(location), 0, -1):
        with suppress(LookupError):
            value_at(values, location[:length])
            return location[:length]
    return ()


def _secret_hint(name: str, location: KeyPath) -> str:
    if name.lower() not in _SECRET_NAMES or len(location) < 2 or "providers" not in str(location[0]):
        return ""
    return f"keys never stand in a file: set {key_variable(str(location[1]))}"


def _peeled(annotation: Any) -> tuple[Any, Allowed | None]:
    """The type under ``Annotated`` and ``| None``, and the words that go with it, the outermost first."""
    words: Allowed | None = None
    while True:
        origin = get_origin(annotation)
        if origin is Annotated:
            words = words or next((one for one in annotation.__metadata__ if isinstance(one, Allowed)), None)
            annotation = annotation.__origin__
        elif origin in (Union, UnionType):
            annotation = next(one for one in get_args(annotation) if one is not type(None))
        else:
            return annotation, words


def _step(annotation: Any, key: str | int) -> tuple[Any, Allowed | None]:
    core, _words = _peeled(annotation)
    if isinstance(core, type) and issubclass(core, BaseModel):
        for name, field in core.model_fields.items():
            if key in (name, field.alias):
                inner, words = _peeled(field.annotation)
                own = next((one for one in field.metadata if isinstance(one, Allowed)), None)
                return inner, own or words
        return Any, None
    arguments = get_args(core)
    if not arguments:
        return Any, None
    return _peeled(arguments[-1])


def _at(model: type[BaseModel], path: KeyPath) -> tuple[Any, Allowed | None]:
    place: tuple[Any, Allowed | None] = (model, None)
    for key in path:
        place = _step(place[0], key)
    return place


def _allowed(model: type[BaseModel], path: KeyPath) -> Allowed:
    core, words = _at(model, path)
    if words is not None:
        return words
    if get_origin(core) is Literal:
        return one_of(get_args(core))
    return Allowed("a list" if get_origin(core) is list else "a mapping")


def _key_allowed(model: type[BaseModel], path: KeyPath) -> Allowed:
    core, _words = _at(model, path)
    return _peeled(get_args(core)[0])[1] or Allowed("a name")


def _keys(model: type[BaseModel], path: KeyPath) -> list[str]:
    core, _words = _at(model, path)
    return sorted(field.alias or name for name, field in core.model_fields.items())
