"""Bytes as they stand in a JSON file of this room: base64, in its one right spelling."""

import base64
import binascii
from typing import Annotated, Final

from pydantic import BeforeValidator, PlainSerializer

_COMPLAINT: Final = "it is not base64 text"


def _decoded(text: object) -> bytes:
    """One text per content: a spelling that ``_encoded`` does not give would be a change that nothing notices."""
    if not isinstance(text, str):
        raise ValueError(_COMPLAINT)
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(_COMPLAINT) from None
    if _encoded(data) != text:
        raise ValueError(_COMPLAINT)
    return data


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


Base64Bytes = Annotated[bytes, BeforeValidator(_decoded), PlainSerializer(_encoded)]
"""A field of a pydantic model."""
