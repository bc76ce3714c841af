"""Full disks and folders that cannot be written, while the gateway serves: told, survived, and over once they are mended."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from swapping_builders import Crowd, Site, a_site, mappings

SIZE_BYTES = 1 << 20


@pytest.fixture
def small_disks(tmp_path: Path) -> Iterator[None]:
    """Configuration and state each on a disk of its own, of ``SIZE_BYTES``."""
    mount, umount = shutil.which("mount"), shutil.which("umount")
    if mount is None or umount is None:
        pytest.skip("there is no mount command to make a small disk with")
    made = []
    try:
        for name in ("config", "state"):
            place = tmp_path / name
            place.mkdir()
            done = subprocess.run(
                [mount, "-t", "tmpfs", "-o", f"size={SIZE_BYTES}", "tmpfs", str(place)],
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                pytest.skip(f"a small disk cannot be made here: {done.stderr.strip()}")
            made.append(place)
        yield
    finally:
        for place in made:
            subprocess.run([umount, "--lazy", str(place)], check=True)


@contextmanager
def filled(folder: Path) -> Iterator[None]:
    """Not a byte is left on the disk of ``folder`` while the block runs."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        size = SIZE_BYTES
        while size:
            try:
                file.write(bytes(size))
            except OSError:
                size //= 2
    try:
        yield
    finally:
        filler.unlink()


@contextmanager
def read_only(*folders: Path) -> Iterator[None]:
    """Nobody may write in ``folders`` while the block runs."""
    for folder in folders:
        folder.chmod(0o555)
    try:
        yield
    finally:
        for folder in folders:
            folder.chmod(0o755)


def logging_through_a_pipe() -> Sequence[str]:
    """What to run a command with so that its log does not count among the files that it writes."""
    bash = shutil.which("bash")
    if bash is None or sys.platform != "linux":
        pytest.skip("needs bash, and Linux to limit another process")
    return (bash, "-c", 'exec "$0" "$@" 2> >(exec cat >&2)')


@contextmanager
def without_another_byte(pid: int) -> Iterator[None]:
    """A process cannot write to any file while the block runs, whatever it is privileged to."""
    import resource

    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


def obeying_permissions() -> Sequence[str]:
    """What to run a command with so that permission bits hold for it: for root they do once it has given up its privilege to
    pass them over."""
    if sys.platform == "win32" or os.geteuid() != 0:
        return ()
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("root passes permission bits over, and there is no setpriv command to keep it from that")
    return (setpriv, "--bounding-set", "-dac_override,-dac_read_search", "--inh-caps", "-all")


def profile_file(site: Site, name: str) -> Path:
    return site.models_file.parent / "user_profiles" / f"{name}.json"


async def swap_to(site: Site, profile: str) -> tuple[int, dict[str, Any]]:
    answer = await site.client.post(f"{site.process.url}/admin/v1/swap", json={"profile": profile})
    return answer.status_code, answer.json()


async def put(site: Site, name: str, content: object) -> tuple[int, dict[str, Any]]:
    answer = await site.client.put(
        f"{site.process.url}/admin/v1/profiles/{name}", json=content, headers={"if-match": "*"}
    )
    return answer.status_code, answer.json()


async def must_go_on(site: Site, *, generation: int, told: str) -> None:
    """The generation serves on, and why is in ``status`` and in the log."""
    status = await site.status()
    assert status["generation"]["number"] == generation
    assert told in status["last_error"]
    await site.logged(told)


async def refused_swaps(site: Site, *, told: str) -> None:
    """Whoever asks for a profile that cannot be kept is told why, and nothing happens."""
    number = await site.number()
    code, answer = await swap_to(site, "p1")
    assert (code, told in answer["error"]["message"]) == (500, True), answer
    assert "(let the gateway write to its state folder; nothing was changed)" in answer["error"]["message"]
    await must_go_on(site, generation=number, told=told)
    ran = await site.process.rolegate("profiles", "use", "p1")
    assert (ran.code, told in ran.err) == (1, True), ran
    await must_go_on(site, generation=number, told=told)
    assert not (site.state_folder / "active_profile").exists()


async def refused_edits(site: Site, *, told: str, commands: bool = True) -> None:
    """Whoever writes a profile that cannot be stored is told why, and the file is as it was; so are ``commands``, which write it
    themselves."""
    number, before = await site.number(), profile_file(site, "p1").read_bytes()
    code, answer = await put(site, "p1", {"role_mappings": mappings(4)})
    reason = f"cannot write {profile_file(site, 'p1')}: {told}"
    assert (code, answer["error"]["code"]) == (500, "cannot_write")
    assert answer["error"]["message"].startswith(reason)
    await must_go_on(site, generation=number, told=reason)
    if commands:
        ran = await site.process.rolegate("profiles", "set", "p1", "description=another one")
        assert (ran.code, reason in ran.err) == (1, True), ran
    assert profile_file(site, "p1").read_bytes() == before
    assert [one.name for one in profile_file(site, "p1").parent.iterdir() if one.suffix == ".tmp"] == []


async def edits_and_swaps_work(site: Site) -> None:
    """The next good edit and the next swap are as if nothing had been."""
    code, answer = await put(site, "p1", {"role_mappings": mappings(5)})
    assert (code, answer["swap_error"]) == (200, "")
    code, answer = await swap_to(site, "p1")
    assert (code, answer["swapped"]) == (200, True)
    status = await site.status()
    assert (status["profile"], status["last_error"], status["pending"]) == ("p1", "", None)
    assert (site.state_folder / "active_profile").read_text(encoding="utf-8") == "p1\n"
    with closing(sqlite3.connect(site.state_folder / "generations.sqlite")) as log:
        [last] = log.execute("SELECT number FROM generations ORDER BY seq DESC LIMIT 1").fetchall()
    assert last == (status["generation"]["number"],)


@pytest.mark.usefixtures("small_disks")
async def test_a_full_disk_under_the_state_folder_is_told_and_edits_are_taken_up_all_the_same(tmp_path: Path) -> None:
    async with a_site(tmp_path) as site:
        crowd = Crowd(site)
        async with crowd.asking(streaming=2, plain=2):
            with filled(site.state_folder):
                await refused_swaps(site, told="No space left on device")
                await site.swapped_by(lambda: site.edit(1))
                status = await site.until(lambda status: not status["last_error"])
                assert status["swaps"][0]["outcome"] == "adopted"
                await site.logged("the log of generations")
                await site.logged("the router config could not be written")
            await edits_and_swaps_work(site)
        assert (crowd.troubles, crowd.mixed) == ([], [])


@pytest.mark.usefixtures("small_disks")
async def test_a_full_disk_under_the_configuration_is_told_and_the_next_edit_applies(tmp_path: Path) -> None:
    async with a_site(tmp_path) as site:
        crowd = Crowd(site)
        async with crowd.asking(streaming=2, plain=2):
            with filled(site.models_file.parent):
                await refused_edits(site, told="the disk is full")
                number = await site.number()
                site.models_file.open("wb").close()  # an editor that truncates, and then has no room to write
                await site.until_error("models.json: found an empty file")
                assert await site.number() == number
            await site.swapped_by(lambda: site.edit(1))
            await edits_and_swaps_work(site)
        assert (crowd.troubles, crowd.mixed) == ([], [])


async def test_a_gateway_that_cannot_write_another_byte_says_so_and_serves_on(tmp_path: Path) -> None:
    async with a_site(tmp_path, launcher=logging_through_a_pipe()) as site:
        crowd = Crowd(site)
        async with crowd.asking(streaming=2, plain=2):
            with without_another_byte(site.process.pid):
                await refused_swaps(site, told="File too large")
                await refused_edits(site, told="file too large", commands=False)
                await site.swapped_by(lambda: site.edit(1))
                await site.until(lambda status: not status["last_error"])
                await site.logged("the log of generations")
            await edits_and_swaps_work(site)
        assert (crowd.troubles, crowd.mixed) == ([], [])


@pytest.mark.skipif(sys.platform == "win32", reason="permissions are another matter there")
async def test_folders_that_cannot_be_written_are_told_and_good_edits_apply_once_they_can(tmp_path: Path) -> None:
    async with a_site(tmp_path, launcher=obeying_permissions()) as site:
        crowd = Crowd(site)
        async with crowd.asking(streaming=2, plain=2):
            with read_only(site.state_folder, profile_file(site, "p1").parent):
                await refused_swaps(site, told="Permission denied")
                await refused_edits(site, told="no permission")
            await edits_and_swaps_work(site)
        assert (crowd.troubles, crowd.mixed) == ([], [])


async def test_a_state_folder_with_a_file_in_its_place_is_told_and_used_again_once_it_is_back(tmp_path: Path) -> None:
    async with a_site(tmp_path) as site:
        aside = tmp_path / "aside"
        site.state_folder.rename(aside)
        site.state_folder.write_text(json.dumps("in the way"), encoding="utf-8")
        code, answer = await swap_to(site, "p1")
        assert code == 500
        assert answer["error"]["message"].startswith(
            f"{site.state_folder}: the active profile cannot be written: File exists"
        )
        await site.swapped_by(lambda: site.edit(1))
        site.state_folder.unlink()
        aside.rename(site.state_folder)
        await edits_and_swaps_work(site)
