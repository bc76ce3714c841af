"""Sound edits that are stored, and that the live gateway then will not have: both is said, and the old generation serves on."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fakes import faults
from swapping_builders import Crowd, Site, a_site, mappings

NEW: Mapping[str, object] = {"role_mappings": {"planner": {"preferred": ["m4:1b"], "discover": False}}}
WARY: Mapping[str, object] = {**NEW, "selection": {"canary": "generate"}}
"""Under it the planner goes to ``m4:1b``, if that generates a token."""
CLASHING: Mapping[str, object] = {"local_providers": {"m3": {"kind": "openai", "url": "http://127.0.0.1:9/v1"}}}
"""Sound in itself; on this host it makes two things of ``m3:1b``."""
NO_TOKEN = (
    'ollama:m4:1b for planner did not generate a token: no deployment of role "planner" answered; '
    "the last, ollama:m4:1b, failed with upstream_error: this model is broken"
)


def stored(site: Site) -> Any:
    return json.loads((site.models_file.parent / "user_profiles" / "p0.json").read_text(encoding="utf-8"))


@asynccontextmanager
async def serving_by_p0(folder: Path) -> AsyncIterator[Site]:
    """A gateway that serves by ``p0``, with callers who notice everything; ``m4:1b`` is broken."""
    async with a_site(folder) as site:
        site.fake.fail(faults.status(500, '{"error": "this model is broken"}'), route="/api/chat", model="m4:1b")
        await site.swapped_by(lambda: site.use("p0"))
        crowd = Crowd(site)
        async with crowd.asking(streaming=2, plain=2):
            yield site
        assert (crowd.troubles, crowd.mixed) == ([], [])


async def put(site: Site, content: Mapping[str, object]) -> dict[str, Any]:
    answer = await site.client.put(f"{site.process.url}/admin/v1/profiles/p0", json=content, headers={"if-match": "*"})
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def test_an_edit_over_http_that_a_canary_vetoes_is_stored_and_said_not_to_serve(tmp_path: Path) -> None:
    async with serving_by_p0(tmp_path) as site:
        before = await site.number()
        told = await put(site, WARY)
        assert (told["hot_swap"], told["swap"], told["swap_error"]) == (True, None, NO_TOKEN)
        assert stored(site) == WARY
        status = await site.status()
        assert (status["generation"]["number"], status["last_error"]) == (before, NO_TOKEN)
        assert status["pending"]["changed_roles"] == ["critic", "executor", "planner"]
        assert (status["swaps"][0]["outcome"], status["swaps"][0]["error"]) == ("vetoed", NO_TOKEN)
        await site.logged("did not generate a token")
        site.fake.heal()
        answer = await site.client.post(f"{site.process.url}/admin/v1/reload", json={})
        assert (answer.status_code, answer.json()["generation"]) == (200, before + 1)
        status = await site.status()
        assert (status["last_error"], status["pending"]) == ("", None)


async def test_a_command_whose_edit_is_vetoed_says_that_it_is_stored_and_does_not_serve(tmp_path: Path) -> None:
    async with serving_by_p0(tmp_path) as site:
        before = await site.number()
        preferred = "role_mappings.planner.preferred"
        ran = await site.process.rolegate(
            "profiles", "set", "p0", f'{preferred}=["m4:1b"]', "selection.canary=generate"
        )
        assert ran.out == f"wrote {site.models_file.parent / 'user_profiles' / 'p0.json'}\n"
        assert f"the running gateway goes on as before: {NO_TOKEN}" in ran.err
        assert stored(site)["role_mappings"]["planner"]["preferred"] == ["m4:1b"]
        status = await site.status()
        assert (status["generation"]["number"], status["last_error"]) == (before, NO_TOKEN)
        told = (await site.process.rolegate("status")).out
        assert f"last error: {NO_TOKEN}" in told
        assert "pending: user_profiles/p0.json, under which planner would be served differently" in told


async def test_an_edit_that_no_plan_can_be_made_of_is_stored_and_said_not_to_serve(tmp_path: Path) -> None:
    async with serving_by_p0(tmp_path) as site:
        before = await site.number()
        told = await put(site, {"role_mappings": mappings(0), **CLASHING})
        assert told["swap"] is None
        assert 'found a provider named "m3", and an installed model ollama:m3:1b' in told["swap_error"]
        assert "local_providers" in stored(site)
        status = await site.status()
        assert (status["generation"]["number"], status["swaps"][0]["outcome"]) == (before, "failed")
        assert status["last_error"] == told["swap_error"]
        assert len(status["pending"]["problems"]) == 1
        told = await put(site, {"role_mappings": mappings(1)})
        assert (told["swap_error"], told["swap"]["swapped"]) == ("", True)
        status = await site.status()
        assert (status["last_error"], status["pending"]) == ("", None)
