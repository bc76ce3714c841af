"""How values and lists of names are put into the sentences of a problem."""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

_LONGEST: Final = 60
_USER_INFO: Final = re.compile(r"(?<=://)[^/\s]*@")


def found(value: object) -> str:
    """``value`` as a problem shows it: scalars as JSON (long text cut, a URL's user masked), a kind for the rest."""
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, Mapping):
        return "a mapping" if value else "an empty mapping"
    if isinstance(value, Sequence):
        return "a list" if value else "an empty list"
    if isinstance(value, float) and not math.isfinite(value):
        return "a number that is not finite"
    return json.dumps(value, default=str)


def quoted(text: str, *, whole: bool = False) -> str:
    """``text`` as a JSON string that is safe to print, cut after 60 characters unless ``whole``."""
    masked = _USER_INFO.sub("***@", text)
    if len(masked) > _LONGEST and not whole:
        masked = masked[:_LONGEST] + "…"
    return json.dumps(masked, ensure_ascii=not masked.isprintable())


def listed(names: Iterable[str]) -> str:
    """Names in a row, in the order given; ``none`` when there are none."""
    return ", ".join(names) or "none"


def choices(names: Iterable[str]) -> str:
    """Quoted names to choose from: ``"a" or "b"``, ``"a", "b" or "c"``."""
    quoted_names = [f'"{name}"' for name in names]
    if len(quoted_names) < 2:
        return "".join(quoted_names)
    return ", ".join(quoted_names[:-1]) + " or " + quoted_names[-1]
