"""JSON that every reader reads alike."""


def unequivocal(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """A JSON object in which no name stands twice: an ``object_pairs_hook``. Raises ``ValueError``."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found
