"""Reads the header of a GGUF file, versions 2 and 3: metadata and tensor list, never the weights.

The file is not trusted. Every length is held against what is left of the file before anything is read or allocated, and the
header as a whole against a limit; whatever does not add up is a ``GgufInvalid`` with one sentence.
"""

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import BinaryIO, Final

from gateway.domain.tensors import stored_bytes
from gateway.embedded.tensor_types import type_name

HEADER_LIMIT_BYTES: Final = 64 * 1024 * 1024
_CHUNK_BYTES: Final = 1024 * 1024
_KEY_LIMIT_BYTES: Final = 65_535
_STRING_LIMIT_BYTES: Final = 4 * 1024 * 1024
_PAIR_LIMIT: Final = 65_536
_TENSOR_LIMIT: Final = 65_536
_AXIS_LIMIT: Final = 4
_ELEMENT_LIMIT: Final = 2**53
_KEPT_ARRAY_LIMIT: Final = 16_384
_KEPT_ELEMENTS_LIMIT: Final = 262_144
_DEFAULT_ALIGNMENT: Final = 32
_ALIGNMENT_LIMIT: Final = 65_536

_STRING: Final = 8
_ARRAY: Final = 9
_SCALARS: Final = {
    0: struct.Struct("<B"),
    1: struct.Struct("<b"),
    2: struct.Struct("<H"),
    3: struct.Struct("<h"),
    4: struct.Struct("<I"),
    5: struct.Struct("<i"),
    6: struct.Struct("<f"),
    7: struct.Struct("<?"),
    10: struct.Struct("<Q"),
    11: struct.Struct("<q"),
    12: struct.Struct("<d"),
}
_U32: Final = _SCALARS[4]
_U64: Final = _SCALARS[10]


class GgufInvalid(Exception):
    """The file is not a GGUF this reader can use. The text completes the sentence "the file …"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GgufHeader:
    """What a GGUF file says of itself.

    ``metadata`` leaves out the tokenizer's arrays and arrays longer than 16,384 elements; other arrays are tuples.
    ``tensors`` are (name, type name, shape in ggml order). ``digest`` is taken over the header and the file size: equal for
    equal files, though it does not look at the weights.
    """

    metadata: Mapping[str, object]
    tensors: tuple[tuple[str, str, tuple[int, ...]], ...]
    size_bytes: int
    digest: str


def read_header(path: Path) -> GgufHeader:
    """Read the header of ``path``. Raises ``GgufInvalid``, and ``OSError`` when the file cannot be opened or read."""
    with path.open("rb") as file:
        size_bytes = file.seek(0, 2)
        file.seek(0)
        return _read(_Cursor(file, size_bytes=size_bytes))


class _Cursor:
    """Walks a file forward through a small window, hashing what it passes."""

    def __init__(self, file: BinaryIO, *, size_bytes: int) -> None:
        self._file = file
        self._window = b""
        self._at = 0
        self._start = 0
        self._hash = hashlib.sha256()
        self.size_bytes = size_bytes
        self.keepable_elements = _KEPT_ELEMENTS_LIMIT

    @property
    def position(self) -> int:
        return self._start + self._at

    def _need(self, count: int) -> None:
        if self._at + count <= len(self._window):
            return
        if count > self.size_bytes - self.position:
            raise GgufInvalid(f"ends inside its header, at byte {self.size_bytes}; it was probably not copied in full")
        if self.position + count > HEADER_LIMIT_BYTES:
            raise GgufInvalid(f"has a header of more than {HEADER_LIMIT_BYTES} bytes, which no real model has")
        self._hash.update(self._window[: self._at])
        rest = self._window[self._at :]
        self._start += self._at
        self._at = 0
        self._window = rest + self._file.read(max(_CHUNK_BYTES, count - len(rest)))
        if len(self._window) < count:
            raise GgufInvalid("became shorter while it was read")

    def take(self, count: int) -> bytes:
        self._need(count)
        taken = self._window[self._at : self._at + count]
        self._at += count
        return taken

    def skip(self, count: int) -> None:
        if count > self.size_bytes - self.position:
            self._need(count)
        while count:
            step = min(count, _CHUNK_BYTES)
            self._need(step)
            self._at += step
            count -= step

    def scalar(self, layout: struct.Struct) -> int | float | bool:
        self._need(layout.size)
        (value,) = layout.unpack_from(self._window, self._at)
        self._at += layout.size
        number: int | float | bool = value
        return number

    def count(self, layout: struct.Struct = _U64) -> int:
        return int(self.scalar(layout))

    def skip_strings(self, count: int) -> None:
        unpack, width = _U64.unpack_from, _U64.size
        for _ in range(count):
            self._need(width)
            (length,) = unpack(self._window, self._at)
            self._at += width
            if self._at + length <= len(self._window):
                self._at += length
            else:
                self.skip(length)

    def digest(self) -> str:
        self._hash.update(self._window[: self._at])
        self._hash.update(_U64.pack(self.size_bytes))
        return f"gguf:{self._hash.hexdigest()}"


def _read(cursor: _Cursor) -> GgufHeader:
    _check_magic(cursor)
    tensor_count, pair_count = cursor.count(), cursor.count()
    if tensor_count > _TENSOR_LIMIT:
        raise GgufInvalid(f"claims {tensor_count} tensors; at most {_TENSOR_LIMIT} are accepted")
    if pair_count > _PAIR_LIMIT:
        raise GgufInvalid(f"claims {pair_count} metadata entries; at most {_PAIR_LIMIT} are accepted")
    metadata: dict[str, object] = {}
    for _ in range(pair_count):
        key = _text(cursor, limit=_KEY_LIMIT_BYTES, what="a metadata key")
        value = _value(cursor, cursor.count(_U32), key=key)
        if value is not None:
            metadata[key] = value
    tensors = []
    end_bytes = 0
    for _ in range(tensor_count):
        name, type_name, shape, tensor_end = _tensor(cursor)
        tensors.append((name, type_name, shape))
        end_bytes = max(end_bytes, tensor_end)
    _check_length(cursor, metadata, end_bytes)
    return GgufHeader(metadata=metadata, tensors=tuple(tensors), size_bytes=cursor.size_bytes, digest=cursor.digest())


def _check_magic(cursor: _Cursor) -> None:
    if cursor.size_bytes == 0:
        raise GgufInvalid("is empty")
    magic = cursor.take(min(4, cursor.size_bytes))
    if magic != b"GGUF":
        raise GgufInvalid(f'is not a GGUF file: it starts with {magic!r} instead of "GGUF"')
    version = cursor.count(_U32)
    if version not in (2, 3):
        if int.from_bytes(version.to_bytes(4, "little"), "big") in (2, 3):
            raise GgufInvalid("is a big-endian GGUF; only little-endian ones are read")
        raise GgufInvalid(f"is GGUF version {version}; versions 2 and 3 are read")


def _text(cursor: _Cursor, *, limit: int, what: str) -> str:
    length = cursor.count()
    if length > limit:
        raise GgufInvalid(f"claims {what} of {length} bytes; at most {limit} are accepted")
    return cursor.take(length).decode("utf-8", errors="replace")


def _value(cursor: _Cursor, kind: int, *, key: str) -> object:
    if kind == _STRING:
        return _text(cursor, limit=_STRING_LIMIT_BYTES, what=f'a value of "{key}"')
    if kind == _ARRAY:
        return _array(cursor, key=key)
    layout = _SCALARS.get(kind)
    if layout is None:
        raise GgufInvalid(f'gives "{key}" the unknown type {kind}')
    return cursor.scalar(layout)


def _array(cursor: _Cursor, *, key: str) -> tuple[object, ...] | None:
    kind, count = cursor.count(_U32), cursor.count()
    layout = _SCALARS.get(kind)
    if layout is None and kind != _STRING:
        raise GgufInvalid(f'gives "{key}" an array of the type {kind}, which is not read')
    least_bytes = count * (layout or _U64).size
    if least_bytes > cursor.size_bytes - cursor.position:
        raise GgufInvalid(f'claims {count} elements in "{key}", more than the file holds')
    kept = not key.startswith("tokenizer.") and count <= min(_KEPT_ARRAY_LIMIT, cursor.keepable_elements)
    if not kept:
        if layout is None:
            cursor.skip_strings(count)
        else:
            cursor.skip(least_bytes)
        return None
    cursor.keepable_elements -= count
    if layout is None:
        return tuple(_text(cursor, limit=_STRING_LIMIT_BYTES, what=f'a value of "{key}"') for _ in range(count))
    return tuple(cursor.scalar(layout) for _ in range(count))


def _tensor(cursor: _Cursor) -> tuple[str, str, tuple[int, ...], int]:
    name = _text(cursor, limit=_KEY_LIMIT_BYTES, what="a tensor name")
    axes = cursor.count(_U32)
    if axes > _AXIS_LIMIT:
        raise GgufInvalid(f'gives the tensor "{name}" {axes} dimensions; at most {_AXIS_LIMIT} are accepted')
    shape = tuple(cursor.count() for _ in range(axes))
    if prod(shape) > _ELEMENT_LIMIT:
        raise GgufInvalid(f'claims {prod(shape)} elements in the tensor "{name}", more than any file holds')
    kind = type_name(cursor.count(_U32))
    offset = cursor.count()
    return name, kind, shape, offset + (stored_bytes([(name, kind, shape)]) or 0)


def _check_length(cursor: _Cursor, metadata: Mapping[str, object], end_bytes: int) -> None:
    alignment = metadata.get("general.alignment", _DEFAULT_ALIGNMENT)
    if not isinstance(alignment, int) or isinstance(alignment, bool) or not 0 < alignment <= _ALIGNMENT_LIMIT:
        raise GgufInvalid(f"gives general.alignment the value {alignment!r}; 1 to {_ALIGNMENT_LIMIT} is accepted")
    if end_bytes == 0:
        return
    needed_bytes = -(-cursor.position // alignment) * alignment + end_bytes
    if needed_bytes > cursor.size_bytes:
        raise GgufInvalid(
            f"has {cursor.size_bytes} bytes, but its tensors need {needed_bytes}; it was probably not copied in full"
        )
