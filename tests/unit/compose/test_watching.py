"""Files of the configuration change in many ways, and each of them is noticed once."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psutil
import pytest

from gateway.compose.watching import Watch


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "config"
    (place / "user_profiles").mkdir(parents=True)
    (place / "models.json").write_text("{}", encoding="utf-8")
    (tmp_path / "state").mkdir()
    return place


class Heard:
    """What a watch said, in order."""

    def __init__(self) -> None:
        self._said: asyncio.Queue[str] = asyncio.Queue()

    def add(self, change: str) -> None:
        self._said.put_nowait(change)

    async def next(self) -> str:
        async with asyncio.timeout(20):
            return await self._said.get()

    async def until(self, wanted: str) -> None:
        async with asyncio.timeout(20):
            while await self._said.get() != wanted:
                pass

    @property
    def nothing_more(self) -> bool:
        return self._said.empty()


@asynccontextmanager
async def listening(watch: Watch, *, ailing: Callable[[str], None] | None = None) -> AsyncIterator[Heard]:
    heard = Heard()

    async def listen() -> None:
        async for change in watch.edits(ailing=ailing):
            heard.add(change)

    task = asyncio.create_task(listen())
    try:
        yield heard
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def a_watch(folder: Path) -> Watch:
    return Watch(folder=folder, state_folder=folder.parent / "state", poll_s=0.2)


async def test_a_file_written_in_place_is_told_by_name(folder: Path) -> None:
    async with listening(a_watch(folder)) as heard:
        (folder / "models.json").write_text('{"schema_version": 1}', encoding="utf-8")
        assert await heard.next() == "models.json changed"


async def test_a_file_replaced_by_renaming_another_over_it_is_seen(folder: Path) -> None:
    async with listening(a_watch(folder)) as heard:
        (folder / ".models.json.tmp").write_text("{} ", encoding="utf-8")
        (folder / ".models.json.tmp").replace(folder / "models.json")
        assert await heard.next() == "models.json changed"


async def test_files_that_come_and_go_are_seen_in_the_folder_of_profiles_too(folder: Path) -> None:
    async with listening(a_watch(folder)) as heard:
        (folder / "user_profiles" / "coding.yaml").write_text("{}", encoding="utf-8")
        assert await heard.next() == "user_profiles/coding.yaml changed"
        (folder / "user_profiles" / "coding.yaml").unlink()
        assert await heard.next() == "user_profiles/coding.yaml changed"


async def test_the_folder_of_profiles_may_come_later(folder: Path) -> None:
    (folder / "user_profiles").rmdir()
    async with listening(a_watch(folder)) as heard:
        (folder / "user_profiles").mkdir()
        (folder / "user_profiles" / "coding.json").write_text("{}", encoding="utf-8")
        assert await heard.next() == "user_profiles/coding.json changed"


async def test_a_config_map_that_is_linked_anew_is_seen(folder: Path) -> None:
    (folder / "models.json").unlink()
    for number in (1, 2):
        (folder / f"..data_{number}").mkdir()
        (folder / f"..data_{number}" / "models.json").write_text(f'{{"n": {number}}}', encoding="utf-8")
    (folder / "..data").symlink_to("..data_1")
    (folder / "models.json").symlink_to("..data/models.json")
    async with listening(a_watch(folder)) as heard:
        (folder / "..data_new").symlink_to("..data_2")
        (folder / "..data_new").replace(folder / "..data")
        assert await heard.next() == "models.json changed"


async def test_a_file_that_a_link_leads_to_is_seen_where_it_is(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (folder / "models.json").replace(elsewhere / "shared.json")
    (folder / "models.json").symlink_to(elsewhere / "shared.json")
    async with listening(a_watch(folder)) as heard:
        (elsewhere / "shared.json").write_text("{}  ", encoding="utf-8")
        assert await heard.next() == "models.json changed"


async def test_a_folder_that_is_deleted_and_made_again_is_followed(folder: Path, tmp_path: Path) -> None:
    kept = shutil.copytree(folder, tmp_path / "kept")
    async with listening(a_watch(folder)) as heard:
        shutil.rmtree(folder)
        assert await heard.next() == "models.json changed"
        shutil.copytree(kept, folder)
        assert await heard.next() == "models.json changed"
        (folder / "models.json").write_text("{}  ", encoding="utf-8")
        assert await heard.next() == "models.json changed"


async def test_a_folder_in_the_place_of_another_is_followed_even_where_much_happens_around_it(
    folder: Path, tmp_path: Path
) -> None:
    async def scribble() -> None:
        while True:
            (tmp_path / "noise").write_text("x", encoding="utf-8")
            await asyncio.sleep(0.001)

    noise = asyncio.create_task(scribble())
    async with listening(a_watch(folder)) as heard:
        for number in range(3):
            shutil.copytree(folder, tmp_path / "copy")
            shutil.rmtree(folder)
            (tmp_path / "copy").replace(folder)
            (folder / "models.json").write_text(" " * number, encoding="utf-8")
            await heard.until("models.json changed")
            (folder / "models.json").write_text(" " * number + "{}", encoding="utf-8")
            await heard.until("models.json changed")
    noise.cancel()


async def test_another_active_profile_is_told_and_our_own_choice_is_not(folder: Path, tmp_path: Path) -> None:
    watch = a_watch(folder)
    async with listening(watch) as heard:
        with watch.our_own():
            (tmp_path / "state" / "active_profile").write_text("writing\n", encoding="utf-8")
        (folder / "models.json").write_text("{}  ", encoding="utf-8")
        assert await heard.next() == "models.json changed"
        (tmp_path / "state" / "active_profile").write_text("coding\n", encoding="utf-8")
        assert await heard.next() == "another profile was made the active one"


async def test_watching_folders_that_come_and_go_keeps_no_file_open(folder: Path, tmp_path: Path) -> None:
    process = psutil.Process()
    kept = shutil.copytree(folder, tmp_path / "kept")
    async with listening(a_watch(folder)) as heard:
        files = set()
        for _ in range(12):
            shutil.rmtree(folder)
            await heard.until("models.json changed")
            shutil.copytree(kept, folder)
            await heard.until("models.json changed")
            files.add(process.num_fds())
    assert max(files) - min(files) <= 3


async def test_what_is_no_configuration_is_passed_over(folder: Path, tmp_path: Path) -> None:
    async with listening(a_watch(folder)) as heard:
        (folder / "notes.txt").write_text("x", encoding="utf-8")
        (folder / ".models.json.swp").write_text("x", encoding="utf-8")
        (tmp_path / "state" / "journal.sqlite").write_text("x", encoding="utf-8")
        (folder / "models.json").write_text("{}  ", encoding="utf-8")
        assert await heard.next() == "models.json changed"
        assert heard.nothing_more


async def test_many_files_at_once_are_one_change(folder: Path) -> None:
    watch = a_watch(folder)
    for number in range(5):
        (folder / "user_profiles" / f"p{number}.json").write_text("{}", encoding="utf-8")
    async with listening(watch) as heard:
        names = ", ".join(f"user_profiles/p{number}.json" for number in range(3))
        assert await heard.next() == f"{names} and 2 more changed"


async def test_where_the_system_tells_nothing_the_files_are_looked_at(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("WATCHFILES_FORCE_POLLING", "1")
    watch = a_watch(folder)
    os.utime(folder / "models.json", ns=(1, 1))
    async with listening(watch) as heard:
        assert await heard.next() == "models.json changed"
        (folder / "models.json").write_text("{}  ", encoding="utf-8")
        assert await heard.next() == "models.json changed"


@pytest.mark.parametrize("target", ["x.json", f"{'a' * 300}/x.json", "nowhere.json"])
async def test_a_link_that_leads_nowhere_is_seen_and_keeps_no_other_edit_from_it(folder: Path, target: str) -> None:
    async with listening(a_watch(folder)) as heard:
        (folder / "user_profiles" / "x.json").symlink_to(target)
        assert await heard.next() == "user_profiles/x.json changed"
        (folder / "models.json").write_text("{}  ", encoding="utf-8")
        assert await heard.next() == "models.json changed"
    async with listening(a_watch(folder)) as heard:
        (folder / "models.json").write_text("{}   ", encoding="utf-8")
        assert await heard.next() == "models.json changed"


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is closed to this user")
@pytest.mark.parametrize("mode", [0, 0o644])
@pytest.mark.parametrize("closed", [".", "config", "config/user_profiles"])
async def test_a_folder_that_is_closed_for_a_while_is_followed_when_it_is_open_again(
    folder: Path, closed: str, mode: int
) -> None:
    (folder / "user_profiles" / "coding.json").write_text("{}", encoding="utf-8")
    place = folder.parent / closed
    async with listening(a_watch(folder)) as heard:
        place.chmod(mode)
        try:
            assert (await heard.next()).endswith("changed")
        finally:
            place.chmod(0o755)
        assert (await heard.next()).endswith("changed")
        (folder / "user_profiles" / "coding.json").write_text("{}  ", encoding="utf-8")
        await heard.until("user_profiles/coding.json changed")


async def test_who_may_read_a_file_is_part_of_it(folder: Path) -> None:
    async with listening(a_watch(folder)) as heard:
        (folder / "models.json").chmod(0o600)
        assert await heard.next() == "models.json changed"
        (folder / "models.json").chmod(0o644)
        assert await heard.next() == "models.json changed"


async def test_a_file_that_is_written_anew_as_long_and_as_old_as_it_was_is_seen(folder: Path) -> None:
    file = folder / "models.json"
    found = file.stat()
    async with listening(a_watch(folder)) as heard:
        file.write_text("[]", encoding="utf-8")
        os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns))
        assert await heard.next() == "models.json changed"


async def test_what_is_no_file_in_place_of_the_active_profile_stops_nothing(folder: Path, tmp_path: Path) -> None:
    choice = tmp_path / "state" / "active_profile"
    os.mkfifo(choice)
    watch = a_watch(folder)
    async with listening(watch) as heard:
        with watch.our_own():
            choice.unlink()
            choice.write_text("coding\n", encoding="utf-8")
        choice.unlink()
        os.mkfifo(choice)
        assert await heard.next() == "another profile was made the active one"
        (folder / "models.json").write_text("{}  ", encoding="utf-8")
        assert await heard.next() == "models.json changed"


async def test_of_a_huge_active_profile_only_its_size_is_taken_in(folder: Path, tmp_path: Path) -> None:
    choice = tmp_path / "state" / "active_profile"
    choice.touch()
    os.truncate(choice, 1 << 40)
    async with listening(a_watch(folder)) as heard:
        os.truncate(choice, 1 << 41)
        assert await heard.next() == "another profile was made the active one"


async def test_files_that_cannot_be_looked_at_are_told_and_looked_at_again(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    told: asyncio.Queue[str] = asyncio.Queue()
    threads = ThreadPoolExecutor(max_workers=1)
    threads.shutdown()
    asyncio.get_running_loop().set_default_executor(threads)
    async with listening(a_watch(folder), ailing=told.put_nowait) as heard:
        for _ in range(2):
            assert await told.get() == (
                "the files of the configuration cannot be looked at: cannot schedule new futures after shutdown"
            )
        (folder / "models.json").write_text("{}  ", encoding="utf-8")
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(max_workers=1))
        assert await heard.next() == "models.json changed"
        while told.qsize() > 1:
            told.get_nowait()
        assert await told.get() == ""
    assert caplog.messages == ["the files of the configuration cannot be looked at; it is tried again"]
