"""What goes wrong while the gateway runs: broken edits, and ends without a warning."""

import asyncio
import json
import os
import random
import shutil
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from gateway_process import GatewayProcess
from swapping_builders import Crowd, Site, a_config, a_host, a_site, mappings


def replaced(text: str, by: str) -> Callable[[Site], None]:
    def edit(site: Site) -> None:
        site.write(json.dumps(a_config(site.fake.url, first=2)).replace(text, by).encode())

    return edit


def half(site: Site) -> None:
    content = json.dumps(a_config(site.fake.url, first=2)).encode()
    site.models_file.write_bytes(content[: len(content) // 2])


def beside(name: str, content: str) -> Callable[[Site], None]:
    def edit(site: Site) -> None:
        (site.models_file.parent / name).write_text(content, encoding="utf-8")

    return edit


def a_profile(content: str) -> Callable[[Site], None]:
    """The active profile's own file is what breaks."""

    def edit(site: Site) -> None:
        (site.models_file.parent / "user_profiles" / "p0.json").write_text(content, encoding="utf-8")
        site.use("p0")

    return edit


def no_folder(site: Site) -> None:
    shutil.rmtree(site.models_file.parent)


def a_folder_instead(site: Site) -> None:
    site.models_file.unlink()
    site.models_file.mkdir()


BROKEN: dict[str, tuple[Callable[[Site], None], str]] = {
    "half of a file": (half, "models.json:1:"),
    "an empty file": (lambda site: site.write(b""), "models.json: found an empty file"),
    "not a mapping": (lambda site: site.write(b"[]"), "models.json:1: found an empty list"),
    "no text": (lambda site: site.write(b"\xff\xfe{}"), "models.json"),
    "a wrong type": (replaced('"discover": false', '"discover": "no"'), "role_mappings.critic.discover"),
    "an unknown key": (replaced('"discover"', '"discovr"'), 'did you mean "discover"?'),
    "an unknown provider kind": (replaced('"kind": "ollama"', '"kind": "olama"'), "local_providers.ollama.kind"),
    "a second spelling of a layer": (beside("models.yml", "{}"), "models.json"),
    "the same key twice": (lambda site: site.write(b'{"gateway": {}, "gateway": {}}'), "the same key again"),
    "an unknown profile": (lambda site: site.use("nosuch"), 'the unknown profile "nosuch"'),
    "a profile that extends itself": (a_profile('{"extends": "p0"}'), "a cycle: p0 > p0"),
    "a broken profile": (a_profile('{"role_mappings": {"planner": {"preferred": 7}}}'), "p0.json"),
    "a folder for a file": (a_folder_instead, "models.json"),
    "no folder any more": (no_folder, "no such folder"),
}


async def test_broken_edits_are_told_and_the_old_generation_serves_on(tmp_path: Path) -> None:
    async with a_site(tmp_path) as site:
        kept = tmp_path / "kept"
        shutil.copytree(site.models_file.parent, kept)
        crowd = Crowd(site)
        async with crowd.asking(streaming=2, plain=2):
            for number, (what, (break_it, words)) in enumerate(BROKEN.items()):
                before = await site.number()
                break_it(site)
                status = await site.until_error(words)
                assert status["generation"]["number"] == before, what
                assert words in "\n".join(status["pending"]["problems"]), what
                await site.logged(words)
                shutil.rmtree(site.models_file.parent, ignore_errors=True)
                shutil.copytree(kept, site.models_file.parent)
                (site.state_folder / "active_profile").unlink(missing_ok=True)
                site.edit(number + 1)
                await site.until_past(before)
                status = await site.until(lambda status: not status["last_error"])
                assert status["pending"] is None, what
        assert crowd.troubles == []
        assert crowd.mixed == []
        with closing(sqlite3.connect(site.state_folder / "generations.sqlite")) as log:
            failed = [text for (text,) in log.execute("SELECT error FROM generations WHERE outcome = 'failed'")]
        for what, (_, words) in BROKEN.items():
            assert any(words in text for text in failed), what


async def test_with_hot_swap_off_an_edit_waits_for_a_restart_and_status_says_what_it_would_change(
    tmp_path: Path,
) -> None:
    async with a_site(tmp_path, hot_swap=False) as site:
        content = a_config(site.fake.url, gateway={"hot_swap": False})
        content["role_mappings"] = {**mappings(0), "critic": mappings(3)["critic"]}
        site.write(content)
        status = await site.until(lambda status: status["pending"] is not None)
        assert status["pending"] == {
            "profile": None,
            "changed_roles": ["critic"],
            "restart": [],
            "problems": [],
            "files": ["models.json"],
        }
        assert status["generation"]["number"] == 1
        await site.logged("a change of the configuration waits for a restart roles=critic settings=none")
        site.write(b"{")
        status = await site.until(lambda status: bool(status["pending"] and status["pending"]["problems"]))
        assert "models.json:1:" in status["last_error"]
        site.write(a_config(site.fake.url, gateway={"hot_swap": False}))
        await site.until(lambda status: status["pending"] is None and not status["last_error"])


async def test_what_only_a_restart_takes_up_is_pending_with_hot_swap_on_too(tmp_path: Path) -> None:
    async with a_site(tmp_path) as site:
        site.write(a_config(site.fake.url, first=1, gateway={"max_connections": 77}))
        status = await site.until(lambda status: status["pending"] is not None)
        assert status["generation"]["number"] == 2
        assert status["pending"]["restart"] == ["gateway.max_connections"]


@pytest.mark.parametrize("kills", [4, pytest.param(10, marks=pytest.mark.soak)], ids=["short", "long"])
async def test_a_kill_in_the_middle_of_a_swap_leaves_a_whole_configuration(tmp_path: Path, kills: int) -> None:
    dice = random.Random(5)
    (tmp_path / "config" / "user_profiles").mkdir(parents=True)
    for number in range(2):
        content = json.dumps({"role_mappings": mappings(number + 1)})
        (tmp_path / "config" / "user_profiles" / f"p{number}.json").write_text(content, encoding="utf-8")
    chosen = tmp_path / "state" / "active_profile"
    async with a_host() as fake:
        for _ in range(kills):
            process = GatewayProcess(tmp_path, a_config(fake.url))
            async with process:
                assert process.ready["profile"] in {None, "p0", "p1"}
                swapping = asyncio.create_task(swap_to_and_fro(process))
                await process.logged("plan is live generation=1 cause=start")
                await asyncio.sleep(dice.uniform(0.05, 0.6))
                os.kill(process.pid, signal.SIGKILL)
                await process.end()
                await asyncio.gather(swapping, return_exceptions=True)
                assert "Traceback" not in process.log()
            assert not chosen.exists() or chosen.read_text(encoding="utf-8") in {"p0\n", "p1\n"}
        async with GatewayProcess(tmp_path, a_config(fake.url)) as process:
            expected = chosen.read_text(encoding="utf-8").strip() if chosen.exists() else None
            assert process.ready["profile"] == expected


async def test_a_swap_whose_profile_cannot_be_kept_does_not_happen(tmp_path: Path) -> None:
    async with a_site(tmp_path) as site:
        (site.state_folder / "active_profile").mkdir()
        await site.until_error("active_profile")
        answer = await site.client.post(f"{site.process.url}/admin/v1/swap", json={"profile": "p1"})
        assert answer.status_code == 500
        assert answer.json()["error"]["message"] == (
            f"{site.state_folder}: the active profile cannot be written: it is a directory "
            "(let the gateway write to its state folder; nothing was changed)"
        )
        status = await site.status()
        assert (status["generation"]["number"], status["profile"]) == (1, None)
        (site.state_folder / "active_profile").rmdir()
        answer = await site.client.post(f"{site.process.url}/admin/v1/swap", json={"profile": "p1"})
        assert (answer.status_code, answer.json()["generation"]) == (200, 2)
        assert (site.state_folder / "active_profile").read_text(encoding="utf-8") == "p1\n"
        status = await site.status()
        assert (status["profile"], status["last_error"]) == ("p1", "")


async def swap_to_and_fro(process: GatewayProcess) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        number = 0
        while True:
            answer = await client.post(f"{process.url}/admin/v1/swap", json={"profile": f"p{number % 2}"})
            assert answer.status_code == 200, answer.text
            number += 1
