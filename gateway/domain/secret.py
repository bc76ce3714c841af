"""A secret: printed as a mask, revealed only at the last call."""

from typing import final


@final
class Secret:
    """Holds a key or passphrase. ``repr``, ``str`` and formatting show a mask; ``reveal()`` gives the text."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "Secret('**********')"

    __str__ = __repr__

    def __bool__(self) -> bool:
        return bool(self._text)

    def __reduce__(self) -> str:
        raise TypeError("a secret cannot be pickled")
