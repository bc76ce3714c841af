"""The files of each layer, as they lie in a configuration folder.

The layers, the strongest first: the active profile (``user_profiles/NAME``) with what it extends under it, ``user_models``,
``models.json``, ``models.yaml``. Each of the first three may be written as ``.json``, ``.yaml`` or ``.yml``, once.

``models.json`` and ``models.yaml`` are two layers, not two spellings of one: ``models.yaml`` is always the fourth. What is left
as another spelling of the third is ``models.yml``. It cannot stand beside ``models.json`` (two spellings of one layer) nor
beside ``models.yaml`` (nobody could tell which of the two wins); alone it is the third layer.

Messages name a file as the configuration folder was given, joined with the file's name: ``config/models.json`` for the
default ``./config``, ``/etc/rolegate/models.json`` for ``--config-dir /etc/rolegate``.
"""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.config.document import SUFFIXES
from gateway.config.merge import Layer
from gateway.config.wording import quoted
from gateway.domain.nearest import nearest_name
from gateway.errors import Problem

PROFILES_FOLDER: Final = "user_profiles"
PROFILE_NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")
PROFILE_NAME_ALLOWED: Final = "letters, digits, _, - and . (not first)"

_SPELLINGS: Final[Mapping[Layer, tuple[str, ...]]] = {
    Layer.USER_MODELS: tuple(f"user_models{suffix}" for suffix in SUFFIXES),
    Layer.MODELS_JSON: ("models.json", "models.yml"),
    Layer.MODELS_YAML: ("models.yaml",),
}
LAYER_FILES: Final = tuple(name for names in _SPELLINGS.values() for name in names)


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderFiles:
    """What a configuration folder holds. ``layers`` are the files above discovery and below the profile, the strongest
    first; ``profiles`` maps names to files; ``profile_problems`` to what is wrong with having that profile at all.
    ``unlisted`` are those of the ``problems`` for which files may be there that nobody saw."""

    folder: Path
    layers: tuple[tuple[Layer, Path], ...] = ()
    profiles: Mapping[str, Path]
    problems: tuple[Problem, ...] = ()
    unlisted: tuple[Problem, ...] = ()
    profile_problems: Mapping[str, Problem]
    warnings: tuple[Problem, ...] = ()


def scan(folder: Path, *, also: Iterable[Path] = ()) -> FolderFiles:
    """List ``folder`` and its profiles. A folder that cannot be listed is a problem, not an exception.

    Files ``also`` count as if they lay there.
    """
    problems: list[Problem] = []
    unlisted: list[Problem] = []
    names = _names(folder, unlisted) | {path.name for path in also if path.parent == folder}
    layers: list[tuple[Layer, Path]] = []
    for layer, spellings in _SPELLINGS.items():
        present = [name for name in spellings if name in names]
        if len(present) > 1:
            problems.append(_two_spellings(folder, present, f"the layer {layer.value}"))
        layers += [(layer, folder / name) for name in present]
    if "models.yml" in names and "models.yaml" in names:
        problems.append(
            Problem(
                file=str(folder / "models.yml"),
                found="models.yml beside models.yaml, which is another layer",
                allowed="one of them",
                hint="rename models.yml to models.json in JSON, or move its content into models.yaml",
            )
        )
    new_profiles = {path.name for path in also if path.parent == folder / PROFILES_FOLDER}
    profiles, profile_problems, warnings = _profiles(folder, names, new_profiles, unlisted)
    return FolderFiles(
        folder=folder,
        layers=tuple(layers),
        profiles=profiles,
        problems=(*unlisted, *problems),
        unlisted=tuple(unlisted),
        profile_problems=profile_problems,
        warnings=(*_strays(folder, names), *warnings),
    )


def holds_configuration(folder: Path) -> bool:
    """Whether ``folder`` looks like a configuration folder: it has a file of one of the layers, or profiles."""
    return any(os.path.lexists(folder / name) for name in (*LAYER_FILES, PROFILES_FOLDER))


def _names(folder: Path, problems: list[Problem]) -> frozenset[str]:
    try:
        return frozenset(entry.name for entry in folder.iterdir())
    except FileNotFoundError:
        found, allowed = "no such folder", "a folder"
    except NotADirectoryError:
        found, allowed = "a file", "a folder"
    except OSError as exc:
        found, allowed = f"a folder that cannot be listed ({exc.strerror or type(exc).__name__})", "a readable folder"
    problems.append(Problem(file=str(folder), found=found, allowed=allowed))
    return frozenset()


def _two_spellings(folder: Path, present: Sequence[str], what: str) -> Problem:
    return Problem(
        file=str(folder / present[0]),
        found=f"two spellings of {what}: {', '.join(present)}",
        allowed="one of them",
        hint="keep one and remove the other" if len(present) == 2 else "keep one and remove the others",
    )


def _profiles(
    folder: Path, names: frozenset[str], new: set[str], problems: list[Problem]
) -> tuple[dict[str, Path], dict[str, Problem], list[Problem]]:
    place = folder / PROFILES_FOLDER
    present = _names(place, problems) if PROFILES_FOLDER in names else frozenset()
    spelled: dict[str, list[str]] = {}
    warnings: list[Problem] = []
    for name in sorted(present | new):
        stem, suffix = Path(name).stem, Path(name).suffix
        if suffix not in SUFFIXES or name.startswith("."):
            continue
        if not PROFILE_NAME.fullmatch(stem):
            warnings.append(
                Problem(
                    file=str(place / name),
                    found=f"the profile name {quoted(stem)}",
                    allowed=PROFILE_NAME_ALLOWED,
                    hint="it is not read; rename the file",
                )
            )
            continue
        spelled.setdefault(stem, []).append(name)
    doubled = {
        stem: _two_spellings(place, files, f'the profile "{stem}"') for stem, files in spelled.items() if len(files) > 1
    }
    return {stem: place / files[0] for stem, files in spelled.items()}, doubled, warnings


def _strays(folder: Path, names: frozenset[str]) -> list[Problem]:
    """Files whose name is close to a layer's: their author thinks that they are read."""
    strays: list[Problem] = []
    for name in sorted(names):
        stem, suffix = Path(name).stem, Path(name).suffix
        if name in LAYER_FILES or suffix not in SUFFIXES or stem in ("api_keys", "router"):
            continue
        nearest = nearest_name(name, [known for known in LAYER_FILES if known.endswith(suffix)])
        if nearest:
            strays.append(
                Problem(
                    file=str(folder / name),
                    found="a file that is not read",
                    allowed=", ".join(LAYER_FILES),
                    nearest=nearest,
                )
            )
    return strays
