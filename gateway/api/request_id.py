"""What a request goes by in headers, log and journal."""

import random
import re
from collections.abc import Mapping
from typing import Final

_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9_.:-]{1,128}")


def request_id_of(headers: Mapping[bytes, bytes]) -> str:
    """The caller's own id if it is one that can be passed on, else a new one. ``headers`` have lower-case names."""
    given = headers.get(b"x-request-id")
    if given is not None and _REQUEST_ID.fullmatch(given):
        return str(given, "ascii")
    return f"{random.getrandbits(128):032x}"
