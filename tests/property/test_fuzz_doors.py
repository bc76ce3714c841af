"""Whatever is sent to the admin routes, by their own description of themselves, is no 500; and strangers get nothing at all."""

import asyncio
import re
from collections.abc import Coroutine, Iterator
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
from fuzz_bodies import BODIES, anything_for
from gateway.api.admin_openapi import openapi_document
from gateway.api.guard import Guard
from openapi_strategies import requests

T = TypeVar("T")

DOCUMENT: Final = openapi_document()
OPERATIONS: Final = [(method, path) for path, methods in DOCUMENT["paths"].items() for method in methods]
FROM_STRANGERS: Final = ("no_key", "wrong", "junk", "expired_admin", "revoked")

both_forms = pytest.mark.parametrize("form", ["short", pytest.param("long", marks=pytest.mark.soak)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A gateway that listens for others, in a loop of its own."""

    runner: asyncio.Runner
    gateway: Gateway
    ring: Keyring

    def ask(self, visitor: str, method: str, request: dict[str, Any]) -> httpx.Response:
        headers = {**request["headers"], **bearer(self.ring.texts[visitor])}
        return self.run(self.gateway.client.request(method, **{**request, "headers": headers}))

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
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
@given(data=st.data())
def test_every_request_is_answered_as_described(
    site: Site, method: str, path: str, form: str, data: st.DataObject
) -> None:
    request = data.draw(requests(document=DOCUMENT, method=method, path=path))
    answer = site.ask("admin", method, request)
    assert answer.status_code != 500, answer.text
    content = answer.json()
    assert isinstance(content, dict)
    if answer.status_code >= 400:
        assert content["error"]["message"]
    if not _leads_elsewhere(request["url"], path):
        assert str(answer.status_code) in DOCUMENT["paths"][path][method]["responses"], answer.text


@both_forms
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
@given(data=st.data(), visitor=st.sampled_from(FROM_STRANGERS))
def test_a_stranger_is_never_answered_whatever_is_sent(
    site: Site, method: str, path: str, form: str, data: st.DataObject, visitor: str
) -> None:
    request = data.draw(requests(document=DOCUMENT, method=method, path=path))
    answer = site.ask(visitor, method, request)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")
    assert site.ask("client", method, request).status_code == 403


@both_forms
@pytest.mark.parametrize("path", sorted(BODIES))
@given(data=st.data(), visitor=st.sampled_from(FROM_STRANGERS))
def test_a_stranger_gets_nothing_from_the_data_plane_either(
    site: Site, path: str, form: str, data: st.DataObject, visitor: str
) -> None:
    request = {"url": path, "headers": {}, "content": data.draw(anything_for(BODIES[path]))}
    assert site.ask(visitor, "post", request).status_code == 401
    assert site.ask("admin", "post", request).status_code == 403


@both_forms
@given(text=st.binary(max_size=80), name=st.sampled_from(["authorization", "x-api-key"]), bearer=st.booleans())
def test_no_text_is_a_key_that_was_not_made_as_one(site: Site, form: str, text: bytes, name: str, bearer: bool) -> None:
    shown = [(name.encode(), b"Bearer " + text if bearer else text)]
    answer = site.run(site.gateway.client.get("/v1/models", headers=shown))
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")


def _leads_elsewhere(url: str, path: str) -> bool:
    """A part of the path may have been drawn so that it is another path."""
    return re.fullmatch(re.sub(r"\{\w+\}", "[^/.?]+", path) + r"(\?.*)?", url) is None
