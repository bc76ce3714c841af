"""One profile, with what it extends, as one file that can be carried elsewhere: checksum, version, no secrets."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final, cast

from gateway.config import profiles
from gateway.config.compare import differences
from gateway.config.complaints import schema_problems
from gateway.config.document import SCHEMA_VERSION, Document, document_of
from gateway.config.drafts import Check
from gateway.config.edition import editing
from gateway.config.edits import content_of, says, write_all
from gateway.config.layers import FolderFiles, scan
from gateway.config.masking import masked
from gateway.config.migrate import migrated, oldest
from gateway.config.profile_edits import Edited, file_at, path_of, read_file, require_name
from gateway.config.schema import ProfileFile
from gateway.config.set_path import parse_set_path
from gateway.config.values_text import json_text
from gateway.config.wording import found, quoted
from gateway.errors import BadRequest, NameTaken, Problem
from gateway.file_errors import ConfigInvalid
from gateway.files.etag import ABSENT

FORMAT: Final = "rolegate-profile"

_CHECKSUM: Final = "checksum"
_KEYS: Final = frozenset({"format", "schema_version", "name", "profile", "parents", _CHECKSUM})
_SECRET: Final = "something that looks like a secret"


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What an import did: the profile, and those of its parents that were written. ``migrated_from`` is the version of the format
    that they were exported in, where that is an older one."""

    profile: Edited
    parents: tuple[Edited, ...] = ()
    migrated_from: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """What an exported file holds: a profile, and the profiles it extends by name, the nearest first. Values are in the newest
    form of the format; ``version`` is the one that they were exported in."""

    name: str
    values: Mapping[str, object]
    parents: Mapping[str, Mapping[str, object]]
    version: int = SCHEMA_VERSION


def export(name: str, *, folder: Path) -> bytes:
    """A profile and what it extends, as JSON text. Raises ``UnknownName``, and ``ConfigInvalid`` for what is broken or holds
    something that looks like a secret."""
    files = scan(folder)
    if files.unlisted:
        raise ConfigInvalid(files.unlisted)
    path_of(name, files)
    documents = {one: read_file(path)[1] for one, path in files.profiles.items()}
    chain = profiles.chain(name, parents={one: profiles.extends_of(document) for one, document in documents.items()})
    problems = [files.profile_problems[one] for one in chain.names if one in files.profile_problems]
    for one in chain.names:
        document = documents[one]
        problems += [*document.problems, *schema_problems(document, model=ProfileFile), *_secrets(document)]
    broken = profiles.chain_problem(chain, documents=documents)
    if broken is not None:
        problems.append(broken)
    if problems:
        raise ConfigInvalid(problems)
    values, *parents = [documents[one].data or {} for one in chain.names]
    return packed(Bundle(name=name, values=values, parents=dict(zip(chain.names[1:], parents, strict=True))))


def import_(
    content: bytes,
    *,
    folder: Path,
    check: Check,
    name: str | None = None,
    overwrite: bool = False,
    source: str = "the file",
) -> Imported:
    """Write the profile of an exported file, under another ``name`` if one is given, and those it extends that are not there.

    Given a ``name``, a profile that it extends and that says something else here is taken in beside that, as ``NAME-PARENT``,
    unless ``overwrite`` allows to replace it. ``source`` is what messages call the file. Raises ``NameTaken`` where that would
    replace something else and ``overwrite`` does not allow it, ``ConfigInvalid`` for what is broken, and ``BadRequest`` for a
    wrong checksum or a version that is newer than this rolegate. Nothing is written then.
    """
    bundle = unpacked(content, source=source)
    named = name or bundle.name
    if named in bundle.parents:
        raise BadRequest(f'{source} brings a profile "{named}" along, which the imported one extends', param="name")
    with editing(folder):
        files = scan(folder)
        if files.unlisted:
            raise ConfigInvalid(files.unlisted)
        aside = named if name is not None and not overwrite else None
        wanted = _wanted(bundle, named=named, aside=aside, files=files)
        paths = {one: path_of(one, files, suffix=".json") for one in wanted}
        there = {one: file_at(path) for one, path in paths.items()}
        expected = {paths[one]: seen for one, (seen, _document) in there.items()}
        contents: dict[Path, bytes] = {}
        for one, values in wanted.items():
            seen, document = there[one]
            if seen != ABSENT and not says(document, values) and not overwrite:
                raise _taken(one, paths[one], named=named)
            contents[paths[one]] = content_of(values, document=document)
        done = write_all(contents, folder=folder, check=check, profile=named, expected=expected)
    edited = {
        one: Edited(
            name=one,
            path=path,
            etag=done[path].etag,
            created=done[path].created,
            changed=done[path].changed,
            rewritten=done[path].rewritten,
            backup=done[path].backup,
            warnings=done[path].warnings,
        )
        for one, path in paths.items()
    }
    parents = tuple(one for one in edited.values() if one.name != named and one.changed)
    older = None if bundle.version == SCHEMA_VERSION else bundle.version
    return Imported(profile=edited[named], parents=parents, migrated_from=older)


def _wanted(bundle: Bundle, *, named: str, aside: str | None, files: FolderFiles) -> dict[str, Mapping[str, object]]:
    """The profiles to write by name, those that others extend before them. ``aside`` begins the names of those that would take
    the place of another; ``None`` leaves them theirs."""
    wanted: dict[str, Mapping[str, object]] = {}
    parent: str | None = None
    for name, values in (*reversed(list(bundle.parents.items())), (named, bundle.values)):
        content = values if parent is None else {**values, "extends": parent}
        parent = name
        if aside is not None and name != named and not _fits(path_of(name, files, suffix=".json"), content):
            parent = f"{aside}-{name}"
            require_name(parent)
        wanted[parent] = content
    return wanted


def _fits(path: Path, values: Mapping[str, object]) -> bool:
    """Whether ``values`` can lie at ``path`` without taking anything away."""
    seen, document = file_at(path)
    return seen == ABSENT or says(document, values)


def packed(bundle: Bundle) -> bytes:
    """``bundle`` as the content of a file. Pure."""
    content: dict[str, object] = {
        "format": FORMAT,
        "schema_version": SCHEMA_VERSION,
        "name": bundle.name,
        "profile": bundle.values,
        "parents": [{"name": name, "profile": values} for name, values in bundle.parents.items()],
    }
    return json_text({**content, _CHECKSUM: _checksum(content)}).encode()


def unpacked(content: bytes, *, source: str) -> Bundle:
    """What an exported file holds, in the newest form of the format. Pure. Raises as ``import_`` does."""
    document = document_of(content, file=source, syntax="json")
    if document.data is None or document.problems:
        raise ConfigInvalid(document.problems)
    data = document.data
    if data.get("format") != FORMAT:
        raise BadRequest(
            f"{source} is no exported profile: found {found(data.get('format'))} as its format; allowed: {quoted(FORMAT)}",
            hint="`rolegate profiles export` writes one",
        )
    version = data.get("schema_version")
    if not isinstance(version, int) or isinstance(version, bool):
        raise _damaged(source, f"schema_version is {found(version)}")
    if version > SCHEMA_VERSION:
        raise BadRequest(
            f"{source} has schema_version {version}, which is newer than this rolegate; allowed: at most {SCHEMA_VERSION}",
            hint="upgrade rolegate here, or export the profile with a rolegate of this version",
        )
    if version < oldest():
        raise _damaged(source, f"schema_version is {version}")
    told = data.get(_CHECKSUM)
    if told != _checksum({key: value for key, value in data.items() if key != _CHECKSUM}):
        raise BadRequest(
            f"{source} is not as it was exported: its checksum is that of another content",
            hint="it was changed or damaged on the way; export it again, and edit the profile after the import",
        )
    return _bundle(data, version=version, source=source)


def _bundle(data: Mapping[str, object], *, version: int, source: str) -> Bundle:
    name, values, parents = data.get("name"), data.get("profile"), data.get("parents")
    if not data.keys() <= _KEYS or not isinstance(parents, list):
        raise _damaged(source, "its keys are not those of an exported profile")
    entries = [{"name": name, "profile": values}, *parents]
    if not all(isinstance(one, Mapping) and one.keys() == {"name", "profile"} for one in entries):
        raise _damaged(source, "one of its profiles has no name or no content")
    named: dict[str, Mapping[str, object]] = {}
    for one in cast("Sequence[Mapping[str, object]]", entries):
        if not isinstance(one["name"], str) or not isinstance(one["profile"], Mapping):
            raise _damaged(source, "one of its profiles has no name or no content")
        require_name(one["name"])
        named[one["name"]] = _newest(one["profile"], version=version)
    follow = [*list(named)[1:], None]
    if len(named) != len(entries) or [one.get("extends") for one in named.values()] != follow:
        raise _damaged(source, "the profiles in it do not extend each other")
    (first, own), *rest = named.items()
    return Bundle(name=first, values=own, parents=MappingProxyType(dict(rest)), version=version)


def _newest(values: Mapping[str, object], *, version: int) -> Mapping[str, object]:
    return values if version == SCHEMA_VERSION else migrated({"schema_version": version, **values}).data


def _checksum(content: Mapping[str, object]) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return f"sha256:{hashlib.sha256(canonical.encode()).hexdigest()}"


def _damaged(source: str, what: str) -> BadRequest:
    return BadRequest(f"{source} is no exported profile: {what}", hint="`rolegate profiles export` writes one")


def _secrets(document: Document) -> list[Problem]:
    values = document.data or {}
    shown = cast("Mapping[str, object]", masked(values))
    return [
        document.problem(
            parse_set_path(one.path),
            found=_SECRET,
            allowed="what anybody may read",
            hint="take it out: keys come from variables such as OPENAI_API_KEY",
        )
        for one in differences(values, shown)
    ]


def _taken(name: str, path: Path, *, named: str) -> NameTaken:
    other = "(--name on the command line, ?name= over HTTP)"
    what = (
        f"import it under another name {other}"
        if name == named
        else f"the imported profile extends another one of that name; import it under a name of its own {other}, and that comes "
        "along under another, too"
    )
    return NameTaken(
        kind="profile",
        name=name,
        place=str(path),
        hint=f"{what}; or have it replaced (--replace, ?replace=1 over HTTP)",
    )
