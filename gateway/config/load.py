"""Loading a configuration: all files read and merged, all problems at once."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gateway.config import profiles
from gateway.config.complaints import schema_problems
from gateway.config.consistency import findings
from gateway.config.document import Document, read_document
from gateway.config.environ import Environment
from gateway.config.layers import FolderFiles, scan
from gateway.config.merge import Layer, Merged, Overlay, Source, merge
from gateway.config.schema import FILE_KEYS, ConfigFile, ProfileFile
from gateway.config.settings import Configuration, overrides
from gateway.config.translate import translate
from gateway.config.wording import found
from gateway.errors import ConfigInvalid, Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class _Files:
    """The documents that take part, the weakest first, and what else was read."""

    layers: tuple[tuple[Layer, Document], ...]
    profiles: Mapping[str, Document]
    chain: tuple[str, ...] = ()
    problems: list[Problem] = field(default_factory=list)

    def active(self) -> list[tuple[Layer, Document]]:
        overlays = [(Layer.PROFILE, self.profiles[name]) for name in reversed(self.chain)]
        return [*self.layers, *overlays]


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
    on_disk = scan(folder)
    chosen = profiles.active(state_folder=state_folder, environment=environment, flag=profile)
    files = _read(on_disk, chosen)
    active = files.active()
    inactive_problems = _inactive(on_disk, files)
    problems = [*above.problems, *on_disk.problems, *files.problems]
    for layer, document in active:
        problems += document.problems
        problems += schema_problems(document, model=ProfileFile if layer is Layer.PROFILE else ConfigFile)
    merged = merge([*(_overlay(layer, document) for layer, document in active), *above.overlays])
    documents = {document.file: document for _layer, document in active}
    problems += _conflicts(merged, documents)
    doubts: list[Problem] = []
    # With a file missing from the merge, whatever refers to its content would look wrong.
    if (
        not on_disk.problems
        and not files.problems
        and all(document.data is not None for document in documents.values())
    ):
        for finding in findings(merged.values):
            source = merged.provenance.at(_existing(merged, finding.path))
            where = documents.get(source.file) if source is not None else None
            problem = (where or Document(file=str(folder))).problem(
                finding.path, found=finding.found, allowed=finding.allowed, nearest=finding.nearest, hint=finding.hint
            )
            (doubts if finding.doubtful else problems).append(problem)
    if problems:
        raise ConfigInvalid(_in_order(problems, ["command line", "environment", *reversed(documents)]))
    return translate(
        merged,
        folder=folder,
        profile=chosen.name,
        environment=environment,
        warnings=(*above.warnings, *on_disk.warnings, *_nothing_there(on_disk), *doubts, *inactive_problems),
        inactive_problems=inactive_problems,
    )


def _read(on_disk: FolderFiles, chosen: profiles.ActiveProfile) -> _Files:
    documents = {name: read_document(path) for name, path in on_disk.profiles.items()}
    layers = tuple((layer, read_document(path)) for layer, path in reversed(on_disk.layers))
    if chosen.name is None:
        return _Files(layers=layers, profiles=documents)
    if chosen.name not in documents:
        problem = profiles.unknown_profile(chosen, known=on_disk.profiles)
        return _Files(layers=layers, profiles=documents, problems=[problem])
    parents = {name: profiles.extends_of(document) for name, document in documents.items()}
    chain = profiles.chain(chosen.name, parents=parents)
    broken = profiles.chain_problem(chain, documents=documents)
    problems = [on_disk.profile_problems[name] for name in chain.names if name in on_disk.profile_problems]
    if broken is not None:
        problems.append(broken)
    return _Files(layers=layers, profiles=documents, chain=chain.names, problems=problems)


def _inactive(on_disk: FolderFiles, files: _Files) -> tuple[Problem, ...]:
    parents = {name: profiles.extends_of(document) for name, document in files.profiles.items()}
    problems: list[Problem] = []
    for name, document in sorted(files.profiles.items()):
        if name in files.chain:
            continue
        if name in on_disk.profile_problems:
            problems.append(on_disk.profile_problems[name])
        problems += document.problems
        problems += schema_problems(document, model=ProfileFile)
        chain = profiles.chain(name, parents=parents)
        broken = profiles.chain_problem(chain, documents=files.profiles)
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
