"""A text that could not be saved, and is not lost: kept in the state folder until it is."""

from contextlib import suppress
from pathlib import Path
from tempfile import mkdtemp

from gateway.files.atomic import write_atomically


class KeptText:
    """One text at ``path``, with the version of the file that it was made from (``origin``) beside it.

    A text is only removed by an edit that went on with it and was saved. Another one that is to be kept meanwhile puts it aside.
    """

    def __init__(self, path: Path, *, origin: str) -> None:
        self.path = path
        self._origin = origin
        self._ours = False
        self.at_hand = True
        """Will the next edit find it?"""

    @property
    def may_go_on(self) -> bool:
        """Was it made from the version that is there now?"""
        with suppress(OSError, UnicodeDecodeError):
            return self._beside.read_text(encoding="utf-8") == self._origin
        return False

    def text(self) -> str | None:
        """``None`` where there is none, or none that is text."""
        with suppress(OSError, UnicodeDecodeError):
            return self.path.read_bytes().decode()
        return None

    def go_on(self) -> None:
        """The present edit begins with it."""
        self._ours = True

    def put_aside(self) -> Path:
        """Move it to a name of its own, where no edit begins with it any more."""
        number = 1
        while (aside := self.path.with_name(f"{self.path.name}.{number}")).exists():
            number += 1
        self.path.rename(aside)
        return aside

    def keep(self, content: bytes) -> None:
        """Keep what the present edit came to; in a temporary folder (``path`` then says so) where the state folder cannot be
        written."""
        try:
            self._write(content)
        except OSError:
            self.at_hand = False
            self.path = Path(mkdtemp(prefix="rolegate-refused-")) / self.path.name
            self._write(content)
        self._ours = True

    def forget(self) -> None:
        """What the present edit came to is saved."""
        if self._ours:
            self.path.unlink(missing_ok=True)
            self._beside.unlink(missing_ok=True)

    @property
    def _beside(self) -> Path:
        return self.path.with_name(f"{self.path.name}.from")

    def _write(self, content: bytes) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self._ours and self.path.exists():
            self.put_aside()
        write_atomically(self._beside, self._origin.encode())
        write_atomically(self.path, content)
