"""Loading a configuration: all files read and merged, all problems at once."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

from gateway.config import profiles
from gateway.config.complaints import schema_problems
from gateway.config.consistency import Finding, findings
from gateway.config.destinations import Destination, Keyed, destinations
from gateway.config.document import Document, document_of, syntax_of
from gateway.config.environ import Environment
from gateway.config.layers import FolderFiles, scan
from gateway.config.merge import Layer, Merged, Overlay, Source, merge
from gateway.config.migrate import current, old_form_warning, read_current
from gateway.config.outgoing import outgoing_findings
from gateway.config.profiles import ActiveProfile
from gateway.config.schema import FILE_KEYS, ConfigFile, ProfileFile
from gateway.config.set_path import KeyPath
from gateway.config.settings import Configuration, Overrides, overrides
from gateway.config.translate import translate
from gateway.config.unenforced import unenforced_settings
from gateway.config.wording import found, quoted
from gateway.errors import Problem
from gateway.file_errors import ConfigInvalid

_NO_FILE: Final[Mapping[Layer, str]] = MappingProxyType(
    {Layer.COMMAND_LINE: "command line", Layer.ENVIRONMENT: "environment"}
)
"""What a problem names in a file's place for layers that have none, the strongest first."""

_NOTHING: Final[Mapping[Path, bytes]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """Everything that can be said of a configuration folder. ``problems`` are those of the active files in file and line
    order, then those of profiles that are not active; ``warnings`` what is doubtful in the active files."""

    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Files:
    """What was read: the layers, the weakest first, and all profiles. ``chain`` is the active profile with what it extends,
    ``problems`` what is wrong with choosing it."""

    folder: Path
    on_disk: FolderFiles
    layers: tuple[tuple[Layer, Document], ...]
    profiles: Mapping[str, Document]
    chosen: str | None
    above: Overrides
    parents: Mapping[str, str | None] = field(default_factory=dict)
    chain: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()

    def with_active(self, name: str | None, *, place: ActiveProfile | None = None) -> "_Files":
        """The same files with another profile active, as ``place`` says."""
        chosen = place or ActiveProfile(name=name, chosen_by="flag", state_file=self.folder)
        bare = replace(self, chosen=name, chain=(), problems=())
        if name is None:
            return bare
        if name not in self.profiles:
            return replace(bare, problems=(profiles.unknown_profile(chosen, known=self.on_disk.profiles),))
        doubled = self.on_disk.profile_problems
        chain = profiles.chain(name, parents=self.parents)
        broken = profiles.chain_problem(chain, documents=self.profiles)
        problems = [doubled[one] for one in chain.names if one in doubled]
        if broken is not None:
            problems.append(broken)
        return replace(bare, chain=chain.names, problems=tuple(problems))

    def stack(self, chain: Sequence[str]) -> list[tuple[Layer, Document]]:
        """The layers with a profile and what it extends over them, the weakest first."""
        return [*self.layers, *((Layer.PROFILE, self.profiles[name]) for name in reversed(chain))]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stack:
    """Files laid over each other, without the variables and flags above them. ``complete`` is false where the content of one
    is missing."""

    merged: Merged
    complete: bool


class _Stacks:
    """The layers with any profile over them. What many profiles extend is merged once for all of them."""

    def __init__(self, files: _Files) -> None:
        self._files = files
        self._bare = _over(None, files.layers, doubled=False)
        self._by_profile: dict[str, _Stack] = {}
        everything = [document for _layer, document in files.layers] + list(files.profiles.values())
        self.documents = {document.file: document for document in everything}
        self._schema: dict[str, tuple[Problem, ...]] = {}

    def of(self, chain: Sequence[str]) -> _Stack:
        """The layers under the profiles of ``chain``, the strongest first."""
        missing: list[str] = []
        for name in chain:
            if name in self._by_profile:
                break
            missing.append(name)
        below = chain[len(missing) : len(missing) + 1]
        stack = self._by_profile[below[0]] if below else self._bare
        for name in reversed(missing):
            doubled = name in self._files.on_disk.profile_problems
            stack = _over(stack, [(Layer.PROFILE, self._files.profiles[name])], doubled=doubled)
            self._by_profile[name] = stack
        return stack

    def schema_problems(self, document: Document, *, layer: Layer) -> tuple[Problem, ...]:
        """What the schema says of one file, asked once."""
        if document.file not in self._schema:
            model = ProfileFile if layer is Layer.PROFILE else ConfigFile
            self._schema[document.file] = schema_problems(document, model=model)
        return self._schema[document.file]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Whole:
    """One stack laid together, and what only shows there. ``judged`` is false where a file is missing from it: whatever
    refers to its content would look wrong."""

    merged: Merged
    problems: tuple[Problem, ...]
    doubts: tuple[Problem, ...]
    judged: bool


def load(
    *,
    folder: Path,
    state_folder: Path,
    environment: Environment,
    profile: str | None = None,
    flags: Mapping[str, object] | None = None,
) -> Configuration:
    """Read, merge and check the configuration in ``folder``.

    ``profile`` is the flag's word (empty: none); without it the environment and then the state folder decide. ``flags`` map
    server settings to values, ``None`` where not given. Raises ``ConfigInvalid`` with every problem of every active file;
    problems of inactive profiles are in the result's ``warnings``.
    """
    above = overrides(environment=environment, flags=flags)
    files = _read(folder, profiles.active(state_folder=state_folder, environment=environment, flag=profile), above)
    stacks = _Stacks(files)
    whole = _whole(files, stacks, files.chain)
    problems = _active_problems(files, whole, stacks)
    if problems:
        raise ConfigInvalid(problems)
    inactive = _inactive(files)
    return translate(
        whole.merged,
        folder=folder,
        profile=files.chosen,
        environment=environment,
        warnings=(*_warnings(files, whole), *inactive),
        inactive_problems=inactive,
    )


def check(
    *,
    folder: Path,
    state_folder: Path,
    environment: Environment,
    profile: str | None = None,
    flags: Mapping[str, object] | None = None,
) -> Check:
    """Everything wrong in ``folder``, whatever else is: as ``load`` sees it, and every other profile as if it were active."""
    above = overrides(environment=environment, flags=flags)
    files = _read(folder, profiles.active(state_folder=state_folder, environment=environment, flag=profile), above)
    stacks = _Stacks(files)
    whole = _whole(files, stacks, files.chain)
    told = [*_active_problems(files, whole, stacks), *_inactive(files)]
    places = {_place(one) for one in told}
    if not whole.judged:
        told += _new(_whole(files, stacks, ()).problems, places, hint="")
    parents = files.parents
    sound = profiles.parents_first(parents)
    for name in sound:
        stacks.of([name, *filter(None, [parents[name]])])
    for name in sorted(set(sound) - set(files.chain)):
        hint = f"when the profile {quoted(name)} is active"
        told += _new(_whole(files, stacks, (name,)).problems, places, hint=hint)
    return Check(problems=tuple(told), warnings=_warnings(files, whole))


def judge(
    *,
    folder: Path,
    chosen: ActiveProfile,
    environment: Environment,
    staged: Mapping[Path, bytes],
    flags: Mapping[str, object] | None = None,
) -> tuple[Problem, ...]:
    """What is doubtful in the configuration as it would be with the ``staged`` files written and ``chosen`` active.

    Raises ``ConfigInvalid`` with every problem of that; where there is none, with those that the staged files bring to any
    other profile that they are a part of, and to going without one.
    """
    above = overrides(environment=environment, flags=flags)
    files = _read(folder, chosen, above, staged=staged)
    stacks = _Stacks(files)
    whole = _whole(files, stacks, files.chain)
    problems = _active_problems(files, whole, stacks)
    if problems:
        raise ConfigInvalid(problems)
    touched = frozenset(map(str, staged))
    broken: dict[str | None, list[Problem]] = {}
    for name in {None, *files.profiles} - {chosen.name}:
        other = files.with_active(name)
        if touched & {document.file for _layer, document in other.stack(other.chain)}:
            broken[name] = _active_problems(other, _whole(other, stacks, other.chain), stacks)
    broken = {name: told for name, told in broken.items() if told}
    if broken:
        _raise_new(broken, before=_read(folder, chosen, above))
    return whole.doubts


def _raise_new(broken: Mapping[str | None, Sequence[Problem]], *, before: _Files) -> None:
    """Raise the problems of those profiles that have none as the files lie now."""
    stacks = _Stacks(before)
    told: list[Problem] = []
    places: set[tuple[str, int | None, str]] = set()
    for name in sorted(broken, key=lambda one: one or ""):
        now = before.with_active(name)
        if name in (None, *before.profiles) and _active_problems(now, _whole(now, stacks, now.chain), stacks):
            continue
        when = "when no profile is active" if name is None else f"when the profile {quoted(name)} is active"
        told += _new(broken[name], places, hint=when)
    if told:
        raise ConfigInvalid(told)


def require_known_destinations(*, folder: Path, staged: Mapping[Path, bytes], keyed: Keyed) -> None:
    """Raise ``ConfigInvalid`` for whatever would send a provider's key, with the ``staged`` files written and under whichever
    profile, where it goes under none as the files lie."""
    known = {one for _, _, one in _destinations(_unjudged(folder), keyed=keyed)}
    files = _unjudged(folder, staged=staged)
    documents = _Stacks(files).documents
    problems: dict[Destination, Problem] = {}
    for merged, path, one in _destinations(files, keyed=keyed):
        if one not in known and one not in problems:
            finding = Finding(
                path=path,
                found=f"{quoted(one.value)}, where no file sends the key of {one.provider}",
                allowed="over HTTP, what a file says already",
                hint="edit the file, or use `rolegate profiles set`",
            )
            problems[one] = _located(finding, merged, documents, folder)
    if problems:
        raise ConfigInvalid(list(problems.values()))


def _destinations(files: _Files, *, keyed: Keyed) -> Iterator[tuple[Merged, KeyPath, Destination]]:
    """Those without a profile, then those under each."""
    stacks = _Stacks(files)
    for name in (None, *profiles.parents_first(files.parents)):
        merged = stacks.of(files.with_active(name).chain).merged
        for path, one in destinations(merged.values, keyed=keyed):
            yield merged, path, one


def merged_values(
    *, folder: Path, profile: str | None, below: Path | None = None, staged: Mapping[Path, bytes] = _NOTHING
) -> Mapping[str, object]:
    """The values of all files under ``profile`` and its own, unjudged; only of those under the file ``below`` if one is named."""
    files = _unjudged(folder, profile=profile, staged=staged)
    overlays: list[Overlay] = []
    for layer, document in files.stack(files.chain):
        if document.file == str(below):
            break
        overlays.append(_overlay(layer, document))
    return merge(overlays).values


def _unjudged(folder: Path, *, profile: str | None = None, staged: Mapping[Path, bytes] = _NOTHING) -> _Files:
    """The files by themselves, without variables and flags."""
    nobody = ActiveProfile(name=profile, chosen_by="flag", state_file=folder)
    return _read(folder, nobody, overrides(environment=Environment(variables={})), staged=staged)


def _read(folder: Path, chosen: ActiveProfile, above: Overrides, *, staged: Mapping[Path, bytes] = _NOTHING) -> _Files:
    """What lies in ``folder``, with the ``staged`` files as they are to be."""
    on_disk = scan(folder, also=staged)

    def document(path: Path) -> Document:
        if path in staged:
            return current(document_of(staged[path], file=str(path), syntax=syntax_of(path)))
        return read_current(path)

    documents = {name: document(path) for name, path in on_disk.profiles.items()}
    files = _Files(
        folder=folder,
        on_disk=on_disk,
        layers=tuple((layer, document(path)) for layer, path in reversed(on_disk.layers)),
        profiles=documents,
        chosen=chosen.name,
        above=above,
        parents={name: profiles.extends_of(one) for name, one in documents.items()},
    )
    return files.with_active(chosen.name, place=chosen)


def _over(below: _Stack | None, layers: Sequence[tuple[Layer, Document]], *, doubled: bool) -> _Stack:
    return _Stack(
        merged=merge([_overlay(*one) for one in layers], onto=None if below is None else below.merged),
        complete=(below is None or below.complete)
        and not doubled
        and all(one.data is not None for _layer, one in layers),
    )


def _whole(files: _Files, stacks: _Stacks, chain: Sequence[str]) -> _Whole:
    stack, documents = stacks.of(chain), stacks.documents
    merged = merge(files.above.overlays, onto=stack.merged)
    problems = _conflicts(merged, documents)
    doubts: list[Problem] = []
    judged = not files.on_disk.problems and not (files.problems and tuple(chain) == files.chain) and stack.complete
    if judged:
        for finding in (
            *findings(merged.values),
            *outgoing_findings(merged.values),
            *unenforced_settings(merged.values),
        ):
            problem = _located(finding, merged, documents, files.folder)
            (doubts if finding.doubtful else problems).append(problem)
    return _Whole(merged=merged, problems=tuple(problems), doubts=tuple(doubts), judged=judged)


def _located(finding: Finding, merged: Merged, documents: Mapping[str, Document], folder: Path) -> Problem:
    """The finding as a problem of the file, variable or flag that its value comes from."""
    source = merged.provenance.at(_existing(merged, finding.path))
    if source is not None and source.layer in _NO_FILE:
        return Problem(
            file=_NO_FILE[source.layer],
            key_path=source.file,
            found=finding.found,
            allowed=finding.allowed,
            nearest=finding.nearest,
            hint=finding.hint,
        )
    where = documents.get(source.file) if source is not None else None
    return (where or Document(file=str(folder))).problem(
        finding.path, found=finding.found, allowed=finding.allowed, nearest=finding.nearest, hint=finding.hint
    )


def _active_problems(files: _Files, whole: _Whole, stacks: _Stacks) -> list[Problem]:
    """Everything that keeps the configuration from being used, each problem of a place once, in order."""
    problems = [*files.above.problems, *files.on_disk.problems, *files.problems]
    stack = files.stack(files.chain)
    for layer, document in stack:
        problems += document.problems
        problems += stacks.schema_problems(document, layer=layer)
    problems += whole.problems
    return _in_order(problems, [*_NO_FILE.values(), *(document.file for _layer, document in reversed(stack))])


def _warnings(files: _Files, whole: _Whole) -> tuple[Problem, ...]:
    return (
        *files.above.warnings,
        *files.on_disk.warnings,
        *_nothing_there(files.on_disk),
        *old_form_warning(files.folder, [*(one for _layer, one in files.layers), *files.profiles.values()]),
        *whole.doubts,
    )


def _place(problem: Problem) -> tuple[str, int | None, str]:
    return problem.file, problem.line, problem.key_path


def _new(problems: Iterable[Problem], places: set[tuple[str, int | None, str]], *, hint: str) -> list[Problem]:
    """Those of ``problems`` that speak of no place that was told of already, with ``hint`` added; ``places`` takes theirs."""
    new = [
        replace(one, hint="; ".join(filter(None, (one.hint, hint)))) for one in problems if _place(one) not in places
    ]
    places |= {_place(one) for one in new}
    return new


def _inactive(files: _Files) -> tuple[Problem, ...]:
    parents = files.parents
    sound = frozenset(profiles.parents_first(parents))
    problems: list[Problem] = []
    for name, document in sorted(files.profiles.items()):
        if name in files.chain:
            continue
        if name in files.on_disk.profile_problems:
            problems.append(files.on_disk.profile_problems[name])
        problems += document.problems
        problems += schema_problems(document, model=ProfileFile)
        if name in sound:
            continue
        broken = profiles.chain_problem(profiles.chain(name, parents=parents), documents=files.profiles)
        if broken is not None and broken not in problems:
            problems.append(broken)
    return tuple(problems)


def _overlay(layer: Layer, document: Document) -> Overlay:
    values = {key: value for key, value in (document.data or {}).items() if key not in FILE_KEYS}
    return Overlay(source=Source(layer=layer, file=document.file), values=values)


def _conflicts(merged: Merged, documents: Mapping[str, Document]) -> list[Problem]:
    problems: list[Problem] = []
    for conflict in merged.conflicts:
        if conflict.source.file not in documents:
            continue  # a variable or flag over a section that is no mapping, of which the schema speaks
        below = documents[conflict.below.file]
        line = below.line_of(conflict.path)
        place = below.file if line is None else f"{below.file}:{line}"
        problems.append(
            documents[conflict.source.file].problem(
                conflict.path,
                found=f"{found(conflict.value)} over {found(conflict.below_value)} ({place})",
                allowed="a mapping over a mapping, or a value over a value",
                hint="null removes what a lower layer set",
            )
        )
    return problems


def _existing(merged: Merged, path: tuple[str | int, ...]) -> tuple[str | int, ...]:
    while path and merged.provenance.at(path) is None:
        path = path[:-1]
    return path


def _nothing_there(on_disk: FolderFiles) -> tuple[Problem, ...]:
    if on_disk.layers:
        return ()
    return (
        Problem(
            file=str(on_disk.folder),
            found="no file of any layer",
            allowed="models.json, models.yaml or user_models.json",
            hint="there are no roles",
        ),
    )


def _in_order(problems: Iterable[Problem], files: Sequence[str]) -> list[Problem]:
    """Each problem of a place once, by file (the strongest first) and line."""
    rank = {file: place for place, file in enumerate(files)}
    first: dict[tuple[str, int | None, str], Problem] = {}
    for place, problem in enumerate(problems):
        key = (problem.file, problem.line, problem.key_path or f"#{place}")
        first.setdefault(key, problem)
    return sorted(
        first.values(), key=lambda one: (rank.get(one.file, len(rank)), one.file, one.line or 0, one.key_path)
    )
