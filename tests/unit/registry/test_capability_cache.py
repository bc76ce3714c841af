"""The cache costs nothing but time when it is lost."""

import logging
import sqlite3
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from fakes.ollama_listing import shown
from fakes.ollama_models import catalogue
from gateway.registry.cache import CapabilityCache
from gateway.registry.description import Description, parse_show

DESCRIPTIONS = {model.digest: parse_show(shown(model, verbose=True)) for model in catalogue().values()}
ONE = Description(capabilities=("completion",), metadata={"list": (1, True)}, tensors=(("a b", "F32", (1, 2)),))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "registry.sqlite"


def test_what_is_kept_comes_back_as_it_was(path: Path) -> None:
    CapabilityCache(path=path).keep({**DESCRIPTIONS, "one": ONE}, version="1")
    found = CapabilityCache(path=path).descriptions(digests=[*DESCRIPTIONS, "one", "unknown"], version="1")
    assert found == {**DESCRIPTIONS, "one": ONE}


def test_descriptions_belong_to_a_server_version(path: Path) -> None:
    cache = CapabilityCache(path=path)
    cache.keep({"d": ONE}, version="1")
    assert cache.descriptions(digests=["d"], version="2") == {}
    cache.keep({"d": ONE}, version="2")
    assert cache.descriptions(digests=["d"], version="1") == {}


@pytest.mark.parametrize("content", [b"not a database at all" * 100, b"SQLite format 3\x00" + b"\xff" * 5000])
def test_a_file_that_is_no_database_is_put_aside_and_begun_anew(
    path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    cache = CapabilityCache(path=path)
    cache.keep({"d": ONE}, version="1")
    assert cache.descriptions(digests=["d"], version="1") == {"d": ONE}
    [aside] = path.parent.glob("registry.sqlite.broken-*")
    assert aside.read_bytes() == content
    assert "is broken" in caplog.text
    cache.close()


def test_rows_of_another_layout_are_begun_anew(path: Path) -> None:
    cache = CapabilityCache(path=path)
    cache.keep({"d": ONE}, version="1")
    cache.close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE layouts SET layout = 99")
    connection.close()
    assert CapabilityCache(path=path).descriptions(digests=["d"], version="1") == {}


def test_lessons_come_back_until_they_are_removed(path: Path) -> None:
    cache = CapabilityCache(path=path)
    assert cache.lessons() == {}
    cache.keep_lessons({("ollama", "d"): "one", ("ollama", "e"): "two"})
    cache.keep_lessons({("ollama", "d"): "three", ("ollama", "e"): "", ("lab", "d"): "", ("\ud800", "d"): "x"})
    assert CapabilityCache(path=path).lessons() == {("ollama", "d"): "three"}


def test_a_file_from_before_there_were_lessons_keeps_its_descriptions(path: Path) -> None:
    cache = CapabilityCache(path=path)
    cache.keep({"d": ONE}, version="1")
    cache.close()
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE lessons")
        connection.execute("DELETE FROM layouts WHERE part = 'lessons'")
    connection.close()
    again = CapabilityCache(path=path)
    assert again.lessons() == {}
    assert again.descriptions(digests=["d"], version="1") == {"d": ONE}


@pytest.mark.parametrize("content", [b"", b"x", None, 7, "text"])
def test_a_row_that_cannot_be_read_counts_as_not_there(path: Path, content: object) -> None:
    cache = CapabilityCache(path=path)
    cache.keep({"d": ONE, "e": ONE}, version="1")
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE descriptions SET content = ? WHERE digest = 'd'", (content or b"",))
    connection.close()
    assert cache.descriptions(digests=["d", "e"], version="1") == {"e": ONE}


def test_other_tables_in_the_file_are_left_alone(path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE journal (text TEXT)")
        connection.execute("INSERT INTO journal VALUES ('mine')")
    connection.close()
    cache = CapabilityCache(path=path)
    cache.keep({"d": ONE}, version="1")
    cache.close()
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT text FROM journal").fetchall() == [("mine",)]
    connection.close()


def test_without_a_place_to_write_it_does_without(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = CapabilityCache(path=tmp_path / "file" / "registry.sqlite")
    cache.keep({"d": ONE}, version="1")
    assert cache.descriptions(digests=["d"], version="1") == {}
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert "cannot be used" in warnings[0].getMessage()


def test_it_is_used_again_once_there_is_room(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.parent.write_text("in the way")
    cache = CapabilityCache(path=path)
    for _ in range(2):
        assert not cache.keep_lessons({("ollama", "d"): "one"})
    assert caplog.text.count("cannot be used") == 1
    path.parent.unlink()
    assert cache.keep_lessons({("ollama", "d"): "one"})
    assert CapabilityCache(path=path).lessons() == {("ollama", "d"): "one"}
    cache.close()


def test_a_lock_held_by_another_is_waited_for_shortly_and_then_done_without(path: Path) -> None:
    cache = CapabilityCache(path=path)
    cache.keep({"d": ONE}, version="1")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    cache.keep({"e": ONE}, version="1")
    assert cache.descriptions(digests=["d", "e"], version="1") == {"d": ONE}
    other.execute("COMMIT")
    other.close()
    cache.keep({"e": ONE}, version="1")
    assert cache.descriptions(digests=["e"], version="1") == {"e": ONE}


def test_two_processes_share_it(path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from gateway.registry.cache import CapabilityCache;"
        "from gateway.registry.description import Description; cache = CapabilityCache(path=Path(sys.argv[1]));"
        "[cache.keep({sys.argv[2] + str(n): Description(blob='b')}, version='1') for n in range(20)]"
    )
    children = [subprocess.Popen([sys.executable, "-c", program, str(path), name]) for name in ("a", "b")]
    assert [child.wait(60) for child in children] == [0, 0]
    names = [f"{name}{number}" for name in ("a", "b") for number in range(20)]
    assert set(CapabilityCache(path=path).descriptions(digests=names, version="1")) == set(names)


HALF = "\ud800"


def test_what_cannot_be_written_down_is_not_kept_and_the_rest_is(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cache = CapabilityCache(path=path)
    endless: list[object] = []
    endless.append(endless)
    odd = {"bytes": Description(metadata={"a": b"a"}), "endless": Description(metadata={"a": endless})}
    cache.keep({HALF: ONE, **odd, "d": ONE}, version="1")
    cache.keep({"d": ONE}, version=HALF)
    assert cache.descriptions(digests=[HALF, *odd, "d"], version="1") == {"d": ONE}
    assert cache.descriptions(digests=["d"], version=HALF) == {}
    assert caplog.records == []


def test_a_row_nested_without_end_counts_as_not_there(path: Path) -> None:
    cache = CapabilityCache(path=path)
    cache.keep({"d": ONE, "e": ONE}, version="1")
    with sqlite3.connect(path) as connection:
        content = zlib.compress(b"[" * 1_000_000)
        connection.execute("UPDATE descriptions SET content = ? WHERE digest = 'd'", (content,))
    connection.close()
    assert cache.descriptions(digests=["d", "e"], version="1") == {"e": ONE}
