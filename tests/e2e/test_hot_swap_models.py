"""What a swap does to models' memory, and what a canary keeps from going live."""

from pathlib import Path
from typing import Any

import httpx

from fakes import faults
from swapping_builders import Site, a_config, a_site


def memory(**said: str) -> dict[str, Any]:
    """What swaps do to models' memory, as ``selection`` has it."""
    return said


def choosing(site: Site, *models: str, **selection: Any) -> dict[str, object]:
    """One role with these models in this order."""
    config = a_config(site.fake.url)
    return {
        **config,
        "role_mappings": {"planner": {"preferred": list(models), "discover": False}},
        "selection": selection,
    }


async def swapped_to(site: Site, *models: str, **selection: Any) -> None:
    await site.swapped_by(lambda: site.write(choosing(site, *models, **selection)))


async def ask(site: Site) -> httpx.Response:
    body = {"model": "planner", "messages": [{"role": "user", "content": "Say hello."}]}
    return await site.client.post(f"{site.process.base_url}/chat/completions", json=body)


def loads(site: Site) -> list[str]:
    return [load.model for load in site.fake.runners.loads]


async def test_a_model_preloaded_before_the_swap_answers_its_first_request_without_a_load(tmp_path: Path) -> None:
    async with a_site(tmp_path) as site:
        await swapped_to(site, "m3:1b", "m4:1b", **memory(preload="before"))
        assert loads(site) == ["m3:1b"]
        answer = await ask(site)
        assert answer.headers["x-rolegate-model"] == "ollama:m3:1b"
        assert loads(site) == ["m3:1b"]


async def test_models_are_preloaded_after_a_swap_unless_they_are_not_to_be(tmp_path: Path) -> None:
    async with a_site(tmp_path) as site:
        await swapped_to(site, "m3:1b", "m4:1b", **memory(preload="never"))
        await swapped_to(site, "m4:1b")
        await site.logged("a model is preloaded model=ollama:m4:1b")
        assert loads(site) == ["m4:1b"]


async def test_what_only_the_plan_before_used_is_unloaded(tmp_path: Path) -> None:
    async with a_site(tmp_path) as site:
        site.fake.profile.num_parallel = 1
        await swapped_to(site, "m3:1b", "m4:1b", **memory(preload="before"))
        await swapped_to(site, "m5:1b", **memory(preload="before", unload="after_idle"))
        await site.logged("a model that no role needs is unloaded model=ollama:m3:1b")
        assert list(site.fake.loaded) == ["m5:1b"]


async def test_a_deployment_that_generates_no_token_keeps_the_swap_from_happening(tmp_path: Path) -> None:
    async with a_site(tmp_path) as site:
        before = await site.number()
        site.fake.fail(faults.status(500, '{"error": "this model is broken"}'), route="/api/chat", model="m4:1b")
        site.write(choosing(site, "m3:1b", "m4:1b", canary="generate"))
        await site.until_error("ollama:m4:1b for planner did not generate a token")
        status = await site.status()
        assert status["generation"]["number"] == before
        assert status["swaps"][0]["outcome"] == "vetoed"
        site.fake.heal()
        asked = len(site.fake.requests_to("/api/chat"))
        await swapped_to(site, "m3:1b", "m5:1b", canary="generate")
        assert len(site.fake.requests_to("/api/chat")) == asked + 1


async def test_a_provider_that_comes_with_an_edit_is_asked_at_once(tmp_path: Path) -> None:
    async with a_site(tmp_path) as site:
        config = choosing(site, "m3:1b", **memory(preload="before"))
        config["local_providers"] = {"elsewhere": {"kind": "ollama", "url": site.fake.url}}
        await site.swapped_by(lambda: site.write(config))
        answer = await ask(site)
        assert (answer.status_code, answer.headers["x-rolegate-model"]) == (200, "elsewhere:m3:1b")
        assert loads(site) == ["m3:1b"]


async def test_a_model_that_is_pulled_serves_when_the_command_is_done(tmp_path: Path) -> None:
    async with a_site(tmp_path) as site:
        await swapped_to(site, "mistral:latest", "m4:1b", **memory(preload="never"))
        before = await site.number()
        ran = await site.process.rolegate("models", "pull", "ollama:mistral:latest")
        assert ran.code == 0, ran.err
        status = await site.status()
        assert status["generation"]["number"] == before + 1
        assert [one["model"] for one in status["roles"]["planner"]] == ["ollama:mistral:latest", "ollama:m4:1b"]


async def test_what_was_held_against_a_deployment_is_held_against_it_after_a_swap_too(tmp_path: Path) -> None:
    async with a_site(tmp_path) as site:
        site.fake.fail(faults.status(429, '{"error": "not now"}', retry_after="300"), route="/api/chat", model="m3:1b")
        await swapped_to(site, "m3:1b", "m4:1b", **memory(preload="never"))
        for models in (["m3:1b", "m4:1b"], ["m3:1b", "m4:1b", "m5:1b"]):
            if len(models) > 2:
                await swapped_to(site, *models, **memory(preload="never"))
            answer = await ask(site)
            assert answer.headers["x-rolegate-model"] == "ollama:m4:1b"
        assert [one.model for one in site.fake.requests_to("/api/chat")] == ["m3:1b", "m4:1b", "m4:1b"]
