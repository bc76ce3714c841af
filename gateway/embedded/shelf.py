"""The GGUF files the embedded engine is configured to serve, and what each is like."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gateway.domain.nearest import nearest_name
from gateway.domain.ports import GgufFile
from gateway.embedded.files import KNOWN_MODELS, KnownModel, known_model, known_path
from gateway.embedded.gguf import GgufHeader, GgufInvalid, read_header
from gateway.errors import ModelUnavailable, UnknownName


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fingerprint:
    path: Path
    size_bytes: int
    modified_ns: int


class Shelf:
    """Looks at configured files, and reads each header once per path, size and modification time.

    ``models`` maps names to paths; a name without a path is one of ``table``, kept in ``data_folder``. Safe to use from several
    threads: reading the header of a large vocabulary takes up to some tenths of a second, which belongs off an event loop.
    """

    def __init__(
        self,
        *,
        provider: str,
        models: Mapping[str, Path | None],
        data_folder: Path,
        table: Sequence[KnownModel] = KNOWN_MODELS,
    ) -> None:
        self._provider = provider
        self._models = dict(models)
        self._data_folder = data_folder
        self._table = tuple(table)
        self._headers: dict[str, tuple[_Fingerprint, GgufHeader | str]] = {}
        self._lock = threading.Lock()

    def files(self) -> tuple[GgufFile, ...]:
        """Every configured file, in the order of the configuration, present or not."""
        return tuple(self.file(name) for name in self._models)

    def file(self, name: str) -> GgufFile:
        """One configured file. Raises ``UnknownName`` when none is called ``name``."""
        if name not in self._models:
            raise UnknownName(
                kind="embedded model",
                name=name,
                known=tuple(self._models),
                nearest=nearest_name(name, self._models),
            )
        own_path, row = self._models[name], known_model(name, table=self._table)
        if own_path is not None:
            return self._look(GgufFile(name=name, path=str(own_path)), size_bytes=None)
        if row is None:
            fetchable = ", ".join(known.name for known in self._table)
            return GgufFile(
                name=name,
                path="",
                problem=f'the engine does not know where to fetch "{name}"; it knows: {fetchable}',
            )
        path = known_path(row, data_folder=self._data_folder)
        return self._look(GgufFile(name=name, path=str(path), pullable=True), size_bytes=row.size_bytes)

    def usable(self, name: str) -> GgufFile:
        """The file of ``name``, if it is there and sound. Raises ``ModelUnavailable`` that says what is wrong and what to do."""
        file = self.file(name)
        if file.problem:
            raise ModelUnavailable(
                f'the embedded model "{name}" cannot be used: {file.problem}',
                provider=self._provider,
                hint=self._remedy(file),
            )
        return file

    def _remedy(self, file: GgufFile) -> str:
        if file.pullable:
            return f"fetch it with `rolegate models pull {self._provider}:{file.name}`"
        where = f"local_providers.{self._provider}.models"
        if not file.path:
            return f'give its file in {where}: {{name: "{file.name}", path: "/path/to/file.gguf"}}'
        return f'mend the file, or the path of "{file.name}" in {where}'

    def _look(self, file: GgufFile, *, size_bytes: int | None) -> GgufFile:
        """``file`` with what its header says; ``size_bytes`` is the size it must have, where that is known."""
        path = Path(file.path)
        try:
            status = path.stat()
            if not path.is_file():
                return replace(file, problem=f"{path} is not a file")
            if size_bytes is not None and status.st_size != size_bytes:
                return replace(
                    file,
                    size_bytes=status.st_size,
                    problem=f"the file {path} has {status.st_size} bytes instead of {size_bytes}",
                )
            fingerprint = _Fingerprint(path=path, size_bytes=status.st_size, modified_ns=status.st_mtime_ns)
            header = self._header(file.name, fingerprint)
        except FileNotFoundError:
            return replace(file, problem=f"the file {path} does not exist")
        except OSError as error:
            return replace(file, problem=f"the file {path} cannot be read: {error.strerror or error}")
        if isinstance(header, str):
            return replace(file, size_bytes=status.st_size, problem=f"the file {path} {header}")
        return replace(
            file,
            size_bytes=header.size_bytes,
            digest=header.digest,
            metadata=header.metadata,
            tensors=header.tensors,
        )

    def _header(self, name: str, fingerprint: _Fingerprint) -> GgufHeader | str:
        with self._lock:
            known = self._headers.get(name)
        if known is not None and known[0] == fingerprint:
            return known[1]
        try:
            header: GgufHeader | str = _whole(read_header(fingerprint.path))
        except GgufInvalid as invalid:
            header = str(invalid)
        with self._lock:
            self._headers[name] = (fingerprint, header)
        return header


def _whole(header: GgufHeader) -> GgufHeader:
    """``header``, if its file holds the whole model. Raises ``GgufInvalid`` for a part of one."""
    parts = header.metadata.get("split.count", 1)
    if isinstance(parts, int) and parts > 1:
        raise GgufInvalid(f"is one of the {parts} parts of a split model; join them with `llama-gguf-split --merge`")
    return header
