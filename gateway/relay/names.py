"""What an answer goes by: all that distinguishes the chunks of one from those of another, their text aside."""

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

_PLAIN_ID: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]*")
"""Stands in JSON as it is, and is no number."""


class Names(NamedTuple):
    """The id and the time (seconds since the epoch) of an answer, as upstream gave them, and the tokens that they are in JSON."""

    answer_id: str
    created: int
    id_token: bytes
    time_token: bytes

    @staticmethod
    def of(chunk: Mapping[str, Any]) -> "Names | None":
        """``None`` where a chunk has not both, or an id that JSON may write in more than one way."""
        answer_id, created = chunk.get("id"), chunk.get("created")
        if type(answer_id) is not str or type(created) is not int or not _PLAIN_ID.fullmatch(answer_id):
            return None
        return Names(answer_id, created, b'"%b"' % answer_id.encode(), b"%d" % created)

    def renewed(self, data: bytes, other: "Names") -> bytes | None:
        """``data``, which goes by these, going by the ``other`` ones; ``None`` unless each of these stands in it once."""
        if data.count(self.id_token) != 1 or data.count(self.time_token) != 1 or self.time_token in other.id_token:
            return None
        return data.replace(self.id_token, other.id_token).replace(self.time_token, other.time_token)
