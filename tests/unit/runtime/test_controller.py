"""From facts to the live generation, and what happens when that fails."""

import asyncio
from pathlib import Path

import pytest

from builders import a_cloud, a_model, a_provider, a_role
from gateway.domain.failure import FailureClass
from gateway.domain.model import ProviderKind
from gateway.errors import ProviderFailed, UpstreamFailed
from gateway.relay.needs import Needs
from gateway.runtime.generation import GenerationState
from gateway.runtime.swap import Switchboard
from live_builders import Recorder, SteeredSource, a_configuration, a_controller, until


async def test_the_first_plan_becomes_generation_1_with_its_cause(tmp_path: Path) -> None:
    switchboard, recorder = Switchboard(), Recorder()
    source = SteeredSource(a_model("ollama:a:1b"))
    controller = a_controller(a_configuration(tmp_path, a_role()), [source], switchboard=switchboard, recorder=recorder)
    generation = await controller.start()
    assert (generation.number, generation.cause, generation.state) == (1, "start", GenerationState.LIVE)
    assert switchboard.live is generation
    assert recorder.rendered == [generation.selection.plan]
    assert [len(one.models) for one in recorder.seen] == [1]
    await switchboard.close()


async def test_litellm_is_built_only_for_a_plan_with_a_deployment_on_its_lane(tmp_path: Path) -> None:
    recorder = Recorder()
    local = [SteeredSource(a_model("ollama:a:1b"))]
    await a_controller(a_configuration(tmp_path, a_role()), local, recorder=recorder).start()
    assert recorder.backends == []
    cloud = SteeredSource(a_model("openai:m", kind=ProviderKind.CLOUD), provider=a_cloud())
    controller = a_controller(a_configuration(tmp_path, a_role(cloud=["openai:m"])), [cloud], recorder=recorder)
    generation = await controller.start()
    assert [generation.backend] == recorder.backends


async def test_a_failed_start_says_why(tmp_path: Path) -> None:
    recorder = Recorder(trouble=ProviderFailed("the template is broken", provider="x"))
    controller = a_controller(a_configuration(tmp_path, a_role()), [SteeredSource()], recorder=recorder)
    with pytest.raises(ProviderFailed):
        await controller.start()
    assert controller.last_error == "the template is broken"


async def test_files_that_cannot_be_looked_at_are_an_error_until_they_can(tmp_path: Path) -> None:
    controller = a_controller(a_configuration(tmp_path, a_role()), [SteeredSource()])
    controller.ailing("the files cannot be looked at")
    assert controller.last_error == "the files cannot be looked at"
    controller.ailing("")
    assert controller.last_error == ""


async def test_a_provider_that_was_down_at_the_start_is_taken_up_when_it_answers(tmp_path: Path) -> None:
    switchboard, recorder = Switchboard(), Recorder()
    source = SteeredSource(a_model("ollama:a:1b"), up=False)
    controller = a_controller(a_configuration(tmp_path, a_role()), [source], switchboard=switchboard, recorder=recorder)
    first = await controller.start()
    assert first.selection.plan.degraded == ("planner",)
    watching = asyncio.create_task(controller.watch())
    source.up = True
    await until(lambda: switchboard.live is not first)
    watching.cancel()
    live = switchboard.live
    assert (live.number, live.cause) == (2, "ollama answered for the first time")
    assert live.selection.plan.degraded == ()
    assert first.state is GenerationState.DISCARDED
    await switchboard.close()


async def test_when_taking_up_fails_the_old_plan_serves_on_and_it_is_tried_again(tmp_path: Path) -> None:
    switchboard, recorder = Switchboard(), Recorder()
    source = SteeredSource(a_model("ollama:a:1b"), up=False)
    controller = a_controller(a_configuration(tmp_path, a_role()), [source], switchboard=switchboard, recorder=recorder)
    first = await controller.start()
    recorder.trouble = ProviderFailed("the disk is full", provider="x")
    watching = asyncio.create_task(controller.watch())
    source.up = True
    await until(lambda: bool(controller.last_error))
    assert switchboard.live is first
    await until(lambda: switchboard.live is not first and not controller.last_error)
    watching.cancel()
    await switchboard.close()


async def test_an_embedded_engine_is_not_awaited(tmp_path: Path) -> None:
    engine = SteeredSource(provider=a_provider("embedded", kind=ProviderKind.EMBEDDED, url=None), up=False)
    controller = a_controller(a_configuration(tmp_path, a_role()), [engine])
    await controller.start()
    assert controller.awaited == frozenset()


async def test_a_role_that_nothing_could_serve_is_served_once_a_model_appears(tmp_path: Path) -> None:
    switchboard = Switchboard()
    source = SteeredSource()
    controller = a_controller(a_configuration(tmp_path, a_role()), [source], switchboard=switchboard)
    first = await controller.start()
    watching = asyncio.create_task(controller.watch())
    source.models = (a_model("ollama:a:1b"),)
    await until(lambda: switchboard.live is not first)
    watching.cancel()
    assert switchboard.live.cause == "planner can be served now"
    await switchboard.close()


async def test_a_provider_that_had_not_described_all_its_models_is_awaited(tmp_path: Path) -> None:
    switchboard = Switchboard()
    source = SteeredSource(a_model("ollama:a:1b"), complete=False)
    controller = a_controller(a_configuration(tmp_path, a_role()), [source], switchboard=switchboard)
    first = await controller.start()
    assert controller.awaited == {"ollama"}
    source.complete, source.models = True, (a_model("ollama:a:1b"), a_model("ollama:b:1b"))
    watching = asyncio.create_task(controller.watch())
    await until(lambda: switchboard.live is not first)
    watching.cancel()
    assert len(switchboard.live.roles["planner"].deployments) == 2
    await switchboard.close()


async def test_the_watch_outlives_whatever_one_look_meets(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source, recorder = SteeredSource(a_model("ollama:a:1b")), Recorder()
    controller = a_controller(a_configuration(tmp_path, a_role()), [source], recorder=recorder)
    await controller.start()
    recorder.surprise = KeyError("surprise")
    watching = asyncio.create_task(controller.watch())
    await until(lambda: controller.last_error == "'surprise'")
    await until(lambda: controller.last_error == "")
    watching.cancel()
    assert source.asked >= 3
    assert "looking again failed" in caplog.text


async def test_a_model_that_is_gone_is_looked_for_at_once(tmp_path: Path) -> None:
    source = SteeredSource(a_model("ollama:a:1b"))
    controller = a_controller(a_configuration(tmp_path, a_role()), [source], await_s=3600.0)
    generation = await controller.start()
    watching = asyncio.create_task(controller.watch())
    deployment = generation.roles["planner"].deployments[0]
    gone = UpstreamFailed("model not found", failure=FailureClass.GONE, status=404)
    controller.attempt_failed(deployment, gone, needs=Needs())
    await until(lambda: source.asked == 2)
    watching.cancel()


async def test_a_provider_that_goes_and_comes_is_told_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="gateway")
    source = SteeredSource(a_model("ollama:a:1b"))
    controller = a_controller(a_configuration(tmp_path, a_role()), [source])
    await controller.start()
    source.up = False
    await controller.look()
    await controller.look()
    source.up = True
    await controller.look()
    told = [one.getMessage() for one in caplog.records if "provider" in one.getMessage()]
    assert told == ["provider does not answer any more", "provider answers"]


async def test_a_cloud_provider_says_whether_it_has_a_key(tmp_path: Path) -> None:
    sources = [
        SteeredSource(),
        SteeredSource(provider=a_cloud()),
        SteeredSource(provider=a_cloud("other", has_key=False)),
    ]
    controller = a_controller(a_configuration(tmp_path, a_role()), sources)
    await controller.start()
    assert {one["name"]: one["has_key"] for one in controller.providers()} == {
        "ollama": None, "openai": True, "other": False,
    }  # fmt: skip
