"""What a generation serves, and how the pointer moves from one to the next."""

from pathlib import Path

import pytest

from builders import a_cloud, a_model, a_role
from gateway.config.settings import Configuration
from gateway.domain.model import ProviderKind
from gateway.errors import ByRoleOnly, GatewayStarting, NoModelForRole, UnknownRole
from gateway.runtime.generation import Generation, GenerationState
from gateway.runtime.swap import Switchboard
from live_builders import CountingBackend, Recorder, SteeredSource, a_configuration, a_controller

SOURCES = (
    SteeredSource(a_model("ollama:a:1b"), a_model("ollama:mistral:latest", memory_gb=900.0)),
    SteeredSource(a_model("openai:m", kind=ProviderKind.CLOUD), provider=a_cloud()),
)


async def live(configuration: Configuration, *, switchboard: Switchboard | None = None) -> Generation:
    return await a_controller(configuration, SOURCES, switchboard=switchboard).start()


def states(*generations: Generation) -> list[GenerationState]:
    return [one.state for one in generations]


async def test_a_role_and_a_model_reference_both_lead_somewhere(tmp_path: Path) -> None:
    generation = await live(a_configuration(tmp_path, a_role(context_min=16_000)))
    route = generation.route("planner")
    assert [str(one.ref) for one in route.plan.deployments] == ["ollama:a:1b"]
    assert route.generation == 1
    for name in ("ollama:a:1b", "a:1b"):
        direct = generation.route(name)
        assert direct.plan.role == name
        assert [str(one.ref) for one in direct.plan.deployments] == ["ollama:a:1b"]


async def test_a_direct_request_uses_the_load_profile_that_the_roles_agreed_on(tmp_path: Path) -> None:
    generation = await live(a_configuration(tmp_path, a_role(context_min=16_000)))
    assert generation.route("a:1b").plan.deployments[0].context_tokens == 16_000


async def test_a_model_that_cannot_serve_now_says_why_when_it_is_asked_for(tmp_path: Path) -> None:
    generation = await live(a_configuration(tmp_path, a_role()))
    with pytest.raises(NoModelForRole, match=r'"mistral" cannot serve now: does_not_fit_now: 900\.00 GB') as refused:
        generation.route("mistral")
    assert refused.value.hint == "`rolegate models show mistral` shows what is known of it"


async def test_a_role_without_models_says_what_ruled_each_out(tmp_path: Path) -> None:
    generation = await live(a_configuration(tmp_path, a_role(preferred=["absent:1b"], discover=False)))
    with pytest.raises(NoModelForRole, match="absent:1b: not installed on ollama; `ollama pull absent:1b` installs it"):
        generation.route("planner")


async def test_an_unknown_name_is_answered_with_the_roles_and_the_nearest(tmp_path: Path) -> None:
    generation = await live(a_configuration(tmp_path, a_role(), a_role("critic")))
    with pytest.raises(UnknownRole) as refused:
        generation.route("plannr")
    assert str(refused.value) == 'there is no role or model "plannr"; the roles are: critic, planner'
    assert refused.value.hint == 'did you mean "planner"?'


async def test_references_are_listed_and_served_only_where_they_are_exposed(tmp_path: Path) -> None:
    shown = await live(a_configuration(tmp_path, a_role()))
    assert shown.references == ("ollama:a:1b", "ollama:mistral:latest")
    hidden = await live(a_configuration(tmp_path, a_role(), expose_models=False))
    assert hidden.references == ()
    with pytest.raises(UnknownRole):
        hidden.route("ollama:a:1b")


async def test_a_cloud_model_is_reached_through_roles_only(tmp_path: Path) -> None:
    generation = await live(a_configuration(tmp_path, a_role(cloud=["openai:m"])))
    with pytest.raises(ByRoleOnly) as refused:
        generation.route("openai:m")
    assert (refused.value.http_status, refused.value.code) == (404, "model_not_found")
    assert str(refused.value) == (
        '"openai:m" cannot be asked for by its reference: models in the cloud answer only for roles that name them'
    )
    assert refused.value.hint == "ask for one of its roles: planner"


async def test_before_the_first_plan_nothing_is_admitted() -> None:
    with pytest.raises(GatewayStarting), Switchboard().admit():
        pytest.fail("admitted")


async def test_an_old_generation_drains_before_it_is_discarded(tmp_path: Path) -> None:
    switchboard, recorder = Switchboard(), Recorder()
    role = a_role(cloud=["openai:m"])
    first = await a_controller(
        a_configuration(tmp_path, role), SOURCES, switchboard=switchboard, recorder=recorder
    ).start()
    (backend,) = recorder.backends
    assert isinstance(backend, CountingBackend)
    with switchboard.admit() as held:
        assert held is first
        second = await live(a_configuration(tmp_path, a_role("other")), switchboard=switchboard)
        assert switchboard.live is second
        assert states(first) == [GenerationState.DRAINING]
        assert backend.closed == 0
    assert states(first) == [GenerationState.DISCARDED]
    await switchboard.close()
    assert backend.closed == 1
    assert states(second) == [GenerationState.DISCARDED]


async def test_the_same_plan_again_is_no_new_generation(tmp_path: Path) -> None:
    switchboard = Switchboard()
    configuration = a_configuration(tmp_path, a_role())
    controller = a_controller(configuration, SOURCES, switchboard=switchboard)
    assert await controller.start() is await controller.start()
