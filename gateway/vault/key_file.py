"""The key file: keys in the clear, one a line, for its owner's eyes only. Keys are added and never taken away."""

from pathlib import Path
from typing import Final

from gateway.vault.private_file import Content, Unreadable, editing, make_folder, read, replace
from gateway.vault.sealing_key import SealingKey

_HEAD: Final = """\
# Keys of rolegate's vault (api_keys.json): the name of each, and the key. Who has a key and the vault can read what is in it;
# without the key nobody can. Keep a copy in a safe place, and not beside a copy of the vault.
"""


def find_key(path: Path, fingerprint: str) -> SealingKey | None:
    """The key of that name; ``None`` where the file, or the key in it, is missing. Raises ``Unreadable``, also for a file that
    others may read or write."""
    content = _guarded(path)
    return None if content is None else _keys(content).get(fingerprint)


def add_key(path: Path) -> SealingKey:
    """A new random key, on the disk for good before this returns. The file and its folder are made if they are missing.

    What was in the file stays: it may be needed by another vault, by a copy of this one, or by this one if whoever asked is
    killed before the vault is locked with the new key. Raises ``Unreadable`` and ``CannotWrite``.
    """
    make_folder(path.parent)
    with editing(path):
        before = _guarded(path) or Content(data=_HEAD.encode("ascii"))
        _keys(before)
        key = SealingKey.random()
        replace(path, _with(before, key))
    found = find_key(path, key.fingerprint)
    if found is None:
        raise Unreadable("the key that was just written is not in it", hint="see who else writes to that file")
    return found


def _guarded(path: Path) -> Content | None:
    content = read(path)
    if content is not None and (content.others_may_read or content.others_may_write):
        what = "read" if content.others_may_read else "written"
        raise Unreadable(
            f"it may be {what} by other users (mode {content.mode:04o})",
            hint=f"chmod 600 {path}, and if others are on this machine, run `rolegate providers rotate-vault` after it",
        )
    return content


def _with(before: Content, key: SealingKey) -> Content:
    end = b"" if before.data.endswith(b"\n") or not before.data else b"\n"
    return Content(data=before.data + end + f"{key.fingerprint} {key.text()}\n".encode("ascii"))


def _keys(content: Content) -> dict[str, SealingKey]:
    keys = {}
    for number, line in enumerate(content.data.decode("latin-1").split("\n"), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        name, _, text = line.strip().partition(" ")
        key = SealingKey.from_text(text)
        if key is None or key.fingerprint != name:
            # What is raised here keeps this frame, and a traceback may show what is in it.
            del line, text
            raise Unreadable(
                f"line {number} is no key, or not the key that it names", hint="put the file back from a copy of it"
            )
        keys[name] = key
    return keys
