"""What tells one content of a file from another, and what an edit makes of it."""

from pathlib import Path

import pytest

from gateway.file_errors import EditConflict
from gateway.files.etag import ABSENT, etag, require_etag


def test_an_etag_is_the_sha256_of_the_content() -> None:
    assert etag(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert etag(b"{}") != etag(b"{ }")


@pytest.mark.parametrize(
    ("found", "expected", "told"),
    [
        (etag(b"new"), ABSENT, "is there already"),
        (etag(b"new"), etag(b"old"), "has changed since it was read (it was cba06b5736fa, it is 11507a0e2f5e)"),
        (None, etag(b"old"), "is gone since it was read"),
    ],
)
def test_what_an_edit_did_not_start_from_is_a_conflict(found: str | None, expected: str, told: str) -> None:
    with pytest.raises(EditConflict) as raised:
        require_etag(Path("c/a"), found, expected=expected)
    assert str(raised.value) == f"c/a {told}"


@pytest.mark.parametrize(
    ("found", "expected"), [(None, ABSENT), (etag(b"old"), etag(b"old")), (None, None), (etag(b"old"), None)]
)
def test_what_an_edit_started_from_is_none(found: str | None, expected: str | None) -> None:
    require_etag(Path("c/a"), found, expected=expected)
