"""Names that a person typed: known ones pass, others are answered with the nearest."""

from collections.abc import Iterable

from gateway.errors import UnknownName


def must_know(kind: str, name: str, *, known: Iterable[str]) -> str:
    """``name``, if it is among ``known``. Raises ``UnknownName`` otherwise."""
    names = sorted(known)
    if name not in names:
        raise unknown(kind, name, known=names)
    return name


def unknown(kind: str, name: str, *, known: Iterable[str]) -> UnknownName:
    """The error for ``name``, with the nearest of ``known``."""
    from gateway.domain.nearest import nearest_name

    names = sorted(known)
    return UnknownName(kind=kind, name=name, known=names, nearest=nearest_name(name, names))
