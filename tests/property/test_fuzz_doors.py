"""What no description of the admin routes leads to: bodies that are spoilt, and any bytes as keys."""

import asyncio
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from admin_builders import MISTRAL, Gateway, an_admin_gateway, write_layers
from door_builders import Keyring, a_keyring, bearer
from fakes.ollama import FakeOllama
from fuzz_bodies import anything_for
from gateway.api.admin_operations import OPERATIONS
from gateway.api.guard import Guard

T = TypeVar("T")

BODIES: Final[Mapping[tuple[str, str], Mapping[str, object]]] = {
    (one.method, one.path.format(name="fast", role="planner", ref="ollama:mistral:latest")): one.example
    for one in OPERATIONS
    if one.example is not None
}
"""One that is taken for every route that takes one."""

both_forms = pytest.mark.parametrize("form", ["short", pytest.param("long", marks=pytest.mark.soak)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A gateway that listens for others, in a loop of its own."""

    runner: asyncio.Runner
    gateway: Gateway
    ring: Keyring

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("admin")
    with pytest.MonkeyPatch.context() as patch, asyncio.Runner() as runner:
        patch.setenv("ROLEGATE_STATE_DIR", str(folder / "state"))
        stack = AsyncExitStack()
        try:
            yield runner.run(_opened(stack, folder=folder, runner=runner))
        finally:
            runner.run(stack.aclose())


async def _opened(stack: AsyncExitStack, *, folder: Path, runner: asyncio.Runner) -> Site:
    ollama = await stack.enter_async_context(FakeOllama(models=["llama3.1:8b", "mistral"]))
    ring = a_keyring(folder)
    place = write_layers(folder, url=ollama.url, hot_swap=False, memory_gb=64, fast=MISTRAL)
    live = an_admin_gateway(place, loopback_only=False, guard=Guard(ring.keys))
    return Site(runner=runner, gateway=await stack.enter_async_context(live), ring=ring)


@both_forms
@pytest.mark.parametrize(("method", "path"), BODIES)
@given(data=st.data())
def test_whatever_is_sent_as_a_body_is_answered_in_json(
    site: Site, method: str, path: str, form: str, data: st.DataObject
) -> None:
    body = data.draw(anything_for(BODIES[method, path]))
    headers = {"content-type": "application/json", **bearer(site.ring.texts["admin"])}
    answer: httpx.Response = site.run(site.gateway.client.request(method, path, content=body, headers=headers))
    content = answer.json()
    assert answer.status_code < 500, answer.text
    assert answer.status_code < 400 or content["error"]["message"]


@both_forms
@given(text=st.binary(max_size=80), name=st.sampled_from(["authorization", "x-api-key"]), bearer=st.booleans())
def test_no_text_is_a_key_that_was_not_made_as_one(site: Site, form: str, text: bytes, name: str, bearer: bool) -> None:
    shown = [(name.encode(), b"Bearer " + text if bearer else text)]
    answer = site.run(site.gateway.client.get("/v1/models", headers=shown))
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")
