"""Failures that say something of a model change what is believed of it, and the plan where that matters."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from builders import a_machine, a_model, a_provider, a_role
from gateway.domain.failure import FailureClass
from gateway.domain.model import Model, ModelRef, ProviderKind
from gateway.domain.plan import Deployment
from gateway.domain.resources import GB
from gateway.domain.role import Policy, Role
from gateway.errors import UpstreamFailed
from gateway.registry.corrections import Corrections
from gateway.registry.registry import Registry
from gateway.relay.needs import Needs
from gateway.runtime.controller import Controller
from gateway.runtime.learning import Learning
from gateway.runtime.swap import Switchboard
from live_builders import SteeredSource, a_configuration, a_controller, until
from relay_builders import a_deployment

A = ModelRef(provider="ollama", name="a:1b")
NO_TOOLS = UpstreamFailed("a:1b does not support tools", failure=FailureClass.CAPABILITY, status=400)
NO_MEMORY = UpstreamFailed("cudaMalloc failed: out of memory", failure=FailureClass.LOAD_FAILED, status=500)


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A gateway whose controller watches; it looks only when it is woken."""

    controller: Controller
    switchboard: Switchboard
    source: SteeredSource

    def deployments(self, role: str = "planner") -> list[str]:
        return [str(one.ref) for one in self.switchboard.live.roles[role].deployments]

    def fail(
        self, reference: str, failed: UpstreamFailed, *, needs: Needs | None = None, role: str = "planner"
    ) -> None:
        [deployment] = [one for one in self.switchboard.live.roles[role].deployments if str(one.ref) == reference]
        self.controller.attempt_failed(deployment, failed, needs=needs or Needs())


@asynccontextmanager
async def watched(folder: Path, *models: Model, roles: Iterable[Role]) -> AsyncIterator[Watched]:
    switchboard, source = Switchboard(), SteeredSource(*models)
    controller = a_controller(a_configuration(folder, *roles), [source], switchboard=switchboard, await_s=3600.0)
    await controller.start()
    watching = asyncio.create_task(controller.watch())
    yield Watched(controller=controller, switchboard=switchboard, source=source)
    watching.cancel()
    await switchboard.close()


def asks_tools() -> Role:
    return a_role(preferred=["ollama:a:1b", "ollama:b:1b"], features=["supports_tools"])


def two(**changes: object) -> tuple[Model, Model]:
    first, second = (a_model(f"ollama:{name}:1b", tools=True, memory_gb=5.0) for name in ("a", "b"))
    return replace(first, **changes), second  # type: ignore[arg-type]  # the changes are named by each test


async def test_a_model_that_refused_what_a_role_demands_leaves_the_role(tmp_path: Path) -> None:
    async with watched(tmp_path, *two(), roles=[asks_tools()]) as live:
        assert live.deployments() == ["ollama:a:1b", "ollama:b:1b"]
        live.fail("ollama:a:1b", NO_TOOLS, needs=Needs(tools=True))
        await until(lambda: live.switchboard.live.number == 2)
        assert live.switchboard.live.cause == "ollama:a:1b refused tools"
        assert live.deployments() == ["ollama:b:1b"]
        [dropped] = [one for one in live.switchboard.live.trace("planner").entries if one.model == "ollama:a:1b"]
        assert dropped.reason == "supports_tools is false (measured), and the role asks for it"
        assert dropped.warnings == (
            "supports_tools is reported true, but the server refused it (a:1b does not support tools); false is used",
        )


async def test_a_refusal_that_no_role_minds_leaves_the_plan_as_it_is(tmp_path: Path) -> None:
    async with watched(tmp_path, *two(), roles=[a_role(preferred=["ollama:a:1b"])]) as live:
        live.fail("ollama:a:1b", NO_TOOLS, needs=Needs(tools=True))
        await until(lambda: live.source.asked == 2)
        assert live.switchboard.live.number == 1


async def test_a_model_that_failed_to_load_goes_where_it_does_not_fit(tmp_path: Path) -> None:
    async with watched(tmp_path, *two(), roles=[a_role(preferred=["ollama:a:1b", "ollama:b:1b"])]) as live:
        for _ in range(3):
            live.fail("ollama:a:1b", NO_MEMORY)
        await until(lambda: live.switchboard.live.number == 2)
        assert live.switchboard.live.cause == "ollama:a:1b failed to load"
        assert live.deployments() == ["ollama:b:1b"]
        [dropped] = [one for one in live.switchboard.live.trace("planner").entries if one.model == "ollama:a:1b"]
        assert dropped.verdict.value == "does_not_fit_now"
        assert dropped.reason.startswith("64.00 GB (raised after a failed load at 8,192 tokens; without it: 5.00 GB")
        assert dropped.warnings == (
            (
                "loading it with 8,192 tokens failed (cudaMalloc failed: out of memory): from there on it counts as 64.00 GB"
                " at least"
            ),
        )


async def test_a_failed_load_that_changes_nothing_is_no_new_plan(tmp_path: Path) -> None:
    crashed = UpstreamFailed("llama runner process has terminated", failure=FailureClass.LOAD_FAILED, status=500)
    async with watched(tmp_path, *two(), roles=[a_role(preferred=["ollama:a:1b"], discover=False)]) as live:
        live.fail("ollama:a:1b", crashed)
        await until(lambda: live.source.asked == 2)
        assert live.switchboard.live.number == 1


async def test_a_model_that_was_pulled_anew_comes_back(tmp_path: Path) -> None:
    async with watched(tmp_path, *two(digest="d1"), roles=[asks_tools()]) as live:
        live.fail("ollama:a:1b", NO_TOOLS, needs=Needs(tools=True))
        await until(lambda: live.switchboard.live.number == 2)
        live.source.models = two(digest="d2")
        live.fail("ollama:b:1b", UpstreamFailed("not found", failure=FailureClass.GONE, status=404))
        await until(lambda: live.switchboard.live.number == 3)
        assert live.switchboard.live.cause == "ollama:a:1b may be asked for tools again"
        assert live.deployments() == ["ollama:a:1b", "ollama:b:1b"]


@pytest.mark.parametrize(
    ("failed", "needs", "deployment"),
    [
        (UpstreamFailed("too long", failure=FailureClass.CONTEXT_LENGTH), Needs(tools=True), a_deployment()),
        (NO_TOOLS, Needs(images=1), a_deployment()),
        (UpstreamFailed("no", failure=FailureClass.CAPABILITY), Needs(tools=True, images=1), a_deployment()),
        (NO_MEMORY, Needs(), a_deployment(context_tokens=None)),
    ],
)
def test_what_says_nothing_of_the_model_is_not_looked_into(
    failed: UpstreamFailed, needs: Needs, deployment: Deployment
) -> None:
    corrections = Corrections()
    assert not Learning(corrections).note(deployment, failed, needs=needs)
    assert corrections.refused(deployment.ref) == {}


def test_a_refusal_is_noted_once() -> None:
    corrections = Corrections()
    learning = Learning(corrections)
    notes = [learning.note(a_deployment("ollama:a:1b"), NO_TOOLS, needs=Needs(tools=True)) for _ in range(2)]
    assert notes == [True, False]
    assert set(corrections.refused(A)) == {"supports_tools", "supports_function_calling"}


def test_a_refused_effort_is_learned_too() -> None:
    corrections = Corrections()
    failed = UpstreamFailed('"a:1b" does not support thinking', failure=FailureClass.CAPABILITY, status=400)
    assert Learning(corrections).note(a_deployment("ollama:a:1b"), failed, needs=Needs(effort="high"))
    assert corrections.refused(A) == {"supports_thinking": '"a:1b" does not support thinking'}


async def failed_loads(
    model: Model, *, kind: ProviderKind = ProviderKind.OLLAMA, words: str = "out of memory", times: int = 1
) -> list[int]:
    """The floors after so many failed loads of ``model``, one look between each two."""
    provider = a_provider(model.ref.provider, kind=kind)
    registry = Registry([SteeredSource(model, provider=provider)])
    learning = Learning(registry.corrections)
    deployment = a_deployment(str(model.ref), context_tokens=8192)
    discovery = await registry.refresh()
    for _ in range(times):
        learning.note(deployment, UpstreamFailed(words, failure=FailureClass.LOAD_FAILED), needs=Needs())
        learning.weigh_loads(discovery, sample=lambda: a_machine(available_gb=16.0), policy=Policy())
        discovery = await registry.refresh()
    return [one.floor_bytes for one in discovery.models[0].failed_loads]


async def test_the_floor_is_more_than_all_that_was_available() -> None:
    assert await failed_loads(a_model("ollama:a:1b", memory_gb=5.0)) == [16 * GB + 1]


async def test_every_failed_load_raises_the_memory_further() -> None:
    floors = await failed_loads(a_model("ollama:a:1b", memory_gb=4.0), words="terminated", times=2)
    assert floors == [round(4 * GB * 1.25 * 1.25)]


async def test_a_server_that_others_load_is_not_reckoned_with() -> None:
    model = a_model("lab:a:1b", kind=ProviderKind.OPENAI, memory_gb=5.0)
    assert await failed_loads(model, kind=ProviderKind.OPENAI) == []


def test_a_load_that_failed_before_the_first_look_teaches_nothing() -> None:
    learning = Learning(Corrections())
    learning.note(a_deployment(), NO_MEMORY, needs=Needs())
    learning.weigh_loads(None, sample=a_machine, policy=Policy())
    assert learning.causes(roles=[]) == ""
