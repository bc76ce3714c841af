"""Loading a configuration: all files read and merged, all problems at once."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

from gateway.config import profiles
from gateway.config.complaints import schema_problems
from gateway.config.consistency import Finding, findings
from gateway.config.document import Document, read_document
from gateway.config.environ import Environment
from gateway.config.layers import FolderFiles, scan
from gateway.config.merge import Layer, Merged, Overlay, Source, merge
from gateway.config.schema import FILE_KEYS, ConfigFile, ProfileFile
from gateway.config.settings import Configuration, Overrides, overrides
from gateway.config.translate import translate
from gateway.config.unenforced import unenforced_settings, unenforced_variables
from gateway.config.wording import found, quoted
from gateway.errors import ConfigInvalid, Problem

_NO_FILE: Final[Mapping[Layer, str]] = MappingProxyType(
    {Layer.COMMAND_LINE: "command line", Layer.ENVIRONMENT: "environment"}
)
"""What a problem names in a file's place for layers that have none, the strongest first."""


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
    chain: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()

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
    whole = _whole(files, _Stacks(files), files.chain)
    problems = _active_problems(files, whole)
    if problems:
        raise ConfigInvalid(problems)
    inactive = _inactive(files)
    return translate(
        whole.merged,
        folder=folder,
        profile=files.chosen,
        environment=environment,
        warnings=(*_warnings(files, whole, environment), *inactive),
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
    told = [*_active_problems(files, whole), *_inactive(files)]
    places = {_place(one) for one in told}
    if not whole.judged:
        told += _new(_whole(files, stacks, ()).problems, places, hint="")
    parents = {name: profiles.extends_of(document) for name, document in files.profiles.items()}
    sound = profiles.parents_first(parents)
    for name in sound:
        stacks.of([name, *filter(None, [parents[name]])])
    for name in sorted(set(sound) - set(files.chain)):
        hint = f"when the profile {quoted(name)} is active"
        told += _new(_whole(files, stacks, (name,)).problems, places, hint=hint)
    return Check(problems=tuple(told), warnings=_warnings(files, whole, environment))


def _read(folder: Path, chosen: profiles.ActiveProfile, above: Overrides) -> _Files:
    on_disk = scan(folder)
    documents = {name: read_document(path) for name, path in on_disk.profiles.items()}
    files = _Files(
        folder=folder,
        on_disk=on_disk,
        layers=tuple((layer, read_document(path)) for layer, path in reversed(on_disk.layers)),
        profiles=documents,
        chosen=chosen.name,
        above=above,
    )
    if chosen.name is None:
        return files
    if chosen.name not in documents:
        return replace(files, problems=(profiles.unknown_profile(chosen, known=on_disk.profiles),))
    parents = {name: profiles.extends_of(document) for name, document in documents.items()}
    chain = profiles.chain(chosen.name, parents=parents)
    broken = profiles.chain_problem(chain, documents=documents)
    problems = [on_disk.profile_problems[name] for name in chain.names if name in on_disk.profile_problems]
    if broken is not None:
        problems.append(broken)
    return replace(files, chain=chain.names, problems=tuple(problems))


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
        for finding in (*findings(merged.values), *unenforced_settings(merged.values)):
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


def _active_problems(files: _Files, whole: _Whole) -> list[Problem]:
    """Everything that keeps the configuration from being used, each problem of a place once, in order."""
    problems = [*files.above.problems, *files.on_disk.problems, *files.problems]
    stack = files.stack(files.chain)
    for layer, document in stack:
        problems += document.problems
        problems += schema_problems(document, model=ProfileFile if layer is Layer.PROFILE else ConfigFile)
    problems += whole.problems
    return _in_order(problems, [*_NO_FILE.values(), *(document.file for _layer, document in reversed(stack))])


def _warnings(files: _Files, whole: _Whole, environment: Environment) -> tuple[Problem, ...]:
    return (
        *files.above.warnings,
        *unenforced_variables(environment),
        *files.on_disk.warnings,
        *_nothing_there(files.on_disk),
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
    parents = {name: profiles.extends_of(document) for name, document in files.profiles.items()}
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
