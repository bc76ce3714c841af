"""What the answers of each model have in common, so that the next one need not be read in full."""

from collections.abc import Hashable, Mapping
from typing import Final, NamedTuple

from gateway.relay.at_once import Ends
from gateway.relay.names import Names
from gateway.relay.text_chunks import Mould, TextChunks

_KNOWN_MODELS: Final = 1024


class _Kept(NamedTuple):
    mould: Mould
    names: Names
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
        names = Names.of(head)
        if names is not None:
            if len(self._kept) >= _KNOWN_MODELS:
                self._kept.clear()
                self._ends.clear()
            self._kept[model] = _Kept(mould, names, head, choice)

    def keep_ends(
        self, model: Hashable, *, opening: Mapping[str, object], finish: Mapping[str, object], ending: bytes
    ) -> None:
        """The chunks before and after the text, as they came, of a model whose mould is kept. ``ending`` is the JSON of
        ``finish``."""
        ends = Ends.of(opening, finish, ending=ending) if model in self._kept else None
        if ends is not None:
            self._ends[model] = ends

    def whole(self, model: Hashable, data: bytes) -> dict[str, object] | None:
        """``data`` as one chunk, token counts included, if it is all of an answer that is like the model's last."""
        ends = self._ends.get(model)
        return None if ends is None else ends.answer(data, mould_of=lambda names: self._mould(model, names))

    def recall(self, model: Hashable, names: Names, *, framing: bool) -> tuple[Mould, TextChunks] | None:
        """For an answer that goes by these names."""
        mould = self._mould(model, names)
        if mould is None:
            return None
        kept = self._kept[model]
        head = {**kept.head, "id": names.answer_id, "created": names.created}
        return mould, TextChunks(head=head, choice=kept.choice, framing=framing)

    def _mould(self, model: Hashable, names: Names) -> Mould | None:
        kept = self._kept.get(model)
        if kept is None:
            return None
        return kept.mould if names == kept.names else kept.mould.renewed(kept.names, names)
