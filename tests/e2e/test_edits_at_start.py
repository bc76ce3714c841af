"""An edit is taken up whenever it comes: also in the moment in which the gateway starts."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import httpx

from gateway_process import free_port
from swapping_builders import WITHIN_S, a_config, a_host

EDITING = """
import sys
from pathlib import Path

from gateway.compose.announcements import Announcement, Note
from gateway.compose.serving import serve
from gateway.compose.workspace import Options

folder, port = Path(sys.argv[1]), int(sys.argv[2])


def announce(said: Announcement) -> None:
    if isinstance(said, Note) and "notes.json" in said.text:
        (folder / ".edited").replace(folder / "models.json")


sys.exit(serve(Options(config_dir=folder, settings={"port": port}), announce=announce))
"""
"""A gateway whose files are edited as soon as it has read them: it then says at once what is doubtful in them."""


async def first_choice(port: int) -> str:
    """What serves the planner first; empty while nobody answers."""
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=WITHIN_S) as client:
            status = (await client.get(f"http://127.0.0.1:{port}/admin/v1/status")).json()
    except httpx.HTTPError:
        return ""
    return str(status["roles"]["planner"][0]["model"]) if status["generation"] else ""


async def test_an_edit_that_comes_when_the_files_have_just_been_read_is_taken_up(tmp_path: Path) -> None:
    folder, port = tmp_path / "config", free_port()
    folder.mkdir()
    async with a_host() as fake:
        (folder / "notes.json").write_text("{}", encoding="utf-8")
        (folder / "models.json").write_text(json.dumps(a_config(fake.url)), encoding="utf-8")
        (folder / ".edited").write_text(json.dumps(a_config(fake.url, first=2)), encoding="utf-8")
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", EDITING, str(folder), str(port),
            env={**os.environ, "ROLEGATE_STATE_DIR": str(tmp_path / "state")},
        )  # fmt: skip
        try:
            async with asyncio.timeout(WITHIN_S):
                while await first_choice(port) != "ollama:m2:1b":  # noqa: ASYNC110  (a process has no event)
                    await asyncio.sleep(0.05)
        finally:
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(WITHIN_S):
                assert await process.wait() == 0
        assert not (folder / ".edited").exists()
