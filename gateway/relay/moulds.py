"""What the answers of each model have in common, so that the next one need not be read in full."""

import re
from collections.abc import Hashable, Mapping
from typing import Final, NamedTuple

from gateway.relay.at_once import Ends
from gateway.relay.text_chunks import Mould, TextChunks

_PLAIN_ID: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]*")
"""Stands in JSON as it is, and is no number."""
_KNOWN_MODELS: Final = 1024


class _Kept(NamedTuple):
    mould: Mould
    answer_id: str
    created: int
    head: Mapping[str, object]
    choice: Mapping[str, object]


class Moulds:
    """The mould of each model's latest answer. The next answer's differs in its id and its time only, so that it need not be
    looked for again."""

    def __init__(self) -> None:
        self._kept: dict[Hashable, _Kept] = {}
        self._ends: dict[Hashable, Ends] = {}

    def keep(self, model: Hashable, mould: Mould, *, head: Mapping[str, object], choice: Mapping[str, object]) -> None:
        """``head`` and ``choice`` are those of ``TextChunks``."""
        answer_id, created = head["id"], head["created"]
        if isinstance(answer_id, str) and isinstance(created, int) and _PLAIN_ID.fullmatch(answer_id):
            if len(self._kept) >= _KNOWN_MODELS:
                self._kept.clear()
                self._ends.clear()
            self._kept[model] = _Kept(mould, answer_id, created, head, choice)

    def keep_ends(self, model: Hashable, *, opening: Mapping[str, object], finish: Mapping[str, object]) -> None:
        """The chunks before and after the text, as they came, of a model whose mould is kept."""
        ends = Ends.of(opening, finish) if model in self._kept else None
        if ends is not None:
            self._ends[model] = ends

    def whole(self, model: Hashable, data: bytes) -> dict[str, object] | None:
        """``data`` as one chunk, token counts included, if it is all of an answer that is like the model's last."""
        ends = self._ends.get(model)
        return None if ends is None else ends.answer(data, mould_of=lambda *names: self._mould(model, *names))

    def recall(
        self, model: Hashable, *, answer_id: str, created: int, framing: bool
    ) -> tuple[Mould, TextChunks] | None:
        """For an answer with this id and time, as upstream gave them."""
        mould = self._mould(model, answer_id, created)
        if mould is None:
            return None
        kept = self._kept[model]
        head = {**kept.head, "id": answer_id, "created": created}
        return mould, TextChunks(head=head, choice=kept.choice, framing=framing)

    def _mould(self, model: Hashable, answer_id: str, created: int) -> Mould | None:
        kept = self._kept.get(model)
        if kept is None or not _PLAIN_ID.fullmatch(answer_id):
            return None
        if (answer_id, created) == (kept.answer_id, kept.created):
            return kept.mould
        return kept.mould.renewed(
            known=(b'"%b"' % kept.answer_id.encode(), b"%d" % kept.created),
            new=(b'"%b"' % answer_id.encode(), b"%d" % created),
        )
