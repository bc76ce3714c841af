"""The tables that ship with the package, as rows of text."""

import csv
import io
from importlib.resources import files

from gateway.errors import RolegateError


def rows(name: str) -> list[dict[str, str]]:
    """The rows of ``gateway/catalog/data/<name>``. Raises ``RolegateError`` when the installation lacks the file."""
    try:
        text = files("gateway.catalog").joinpath("data", name).read_text(encoding="utf-8")
    except OSError as exc:
        raise RolegateError(
            f"the package lacks its table gateway/catalog/data/{name}: {exc.strerror or exc}",
            hint="install rolegate again",
        ) from exc
    return list(csv.DictReader(io.StringIO(text)))
