"""A secret: printed as a mask, revealed only at the last call."""

from typing import Final, final

ODD_KEY: Final = "the gateway's key for the provider holds characters that no key has (a line break, perhaps)"
"""Said of a key that does not fit a header, in place of whatever a client would say with the key in it."""


@final
class Secret:
    """Holds a key or passphrase. ``repr``, ``str`` and formatting show a mask; ``reveal()`` gives the text."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    @property
    def fits_a_header(self) -> bool:
        """Whether it can be shown to a server. A line break in it would begin another header, and clients that refuse one repeat
        the whole text in their words."""
        return self._text.isascii() and self._text.isprintable()

    @property
    def may_be_a_key(self) -> bool:
        """Whether a provider can be asked with it. Some clouds have a JSON document in place of a key, and no header carries
        that."""
        return self.fits_a_header or self._text.startswith("{")

    def __repr__(self) -> str:
        return "Secret('**********')"

    __str__ = __repr__

    def __bool__(self) -> bool:
        return bool(self._text)

    def __reduce__(self) -> str:
        raise TypeError("a secret cannot be pickled")
