"""What was built from a configuration follows the one that is live."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from builders import a_model, a_provider
from fakes.ollama import FakeOllama
from gateway.compose.following import Following
from gateway.compose.parts import Parts, SystemClock
from gateway.compose.watching import Watch
from gateway.compose.workspace import Options, Workspace
from gateway.config.environ import Environment
from gateway.domain.model import ModelRef, ProviderKind
from gateway.errors import RolegateError, UnknownName
from gateway.file_errors import ConfigInvalid
from gateway.relay.connections import Connections
from gateway.relay.ollama_lane import OllamaLane
from gateway.telemetry.logs import Redactor

X = ModelRef(provider="lab", name="x")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    folder: Path
    workspace: Workspace
    parts: Parts
    redactor: Redactor
    following: Following
    moved: list[str]

    def write(self, providers: dict[str, str], **more: object) -> None:
        write(self.folder, providers, **more)


def write(folder: Path, providers: dict[str, str], **more: object) -> None:
    local = {
        name: {"kind": "ollama" if name.startswith("ollama") else "openai", "url": url}
        for name, url in providers.items()
    }
    (folder / "models.json").write_text(json.dumps({"local_providers": local, **more}), encoding="utf-8")


def a_workspace(folder: Path, *, profile: str | None = None, **variables: str) -> Workspace:
    environment = Environment(variables={"HOME": str(folder), "ROLEGATE_STATE_DIR": str(folder / "state"), **variables})
    return Workspace(options=Options(config_dir=folder, profile=profile), environment=environment)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    write(tmp_path, {"ollama": "http://127.0.0.1:1", "lab": "http://127.0.0.1:2/v1"})
    workspace = a_workspace(tmp_path, NEW_LAB_API_KEY="sk-of-the-new-lab")
    parts, redactor, clock = workspace.parts(), Redactor(), SystemClock()
    moved: list[str] = []
    yield Place(
        folder=tmp_path,
        workspace=workspace,
        parts=parts,
        redactor=redactor,
        following=Following(
            workspace=workspace,
            parts=parts,
            watch=Watch(folder=tmp_path, state_folder=tmp_path / "state"),
            redactor=redactor,
            ollama=OllamaLane(connections=Connections(clock=clock), clock=clock, keys=parts.keys),
            moved=moved.append,
        ),
        moved=moved,
    )
    await parts.close()


async def test_a_configuration_with_the_same_providers_keeps_its_registry(place: Place) -> None:
    place.write(
        {"ollama": "http://127.0.0.1:1", "lab": "http://127.0.0.1:2/v1"},
        role_mappings={"planner": {"preferred": ["x"]}},
    )
    assert place.following.facts(place.following.read(None)) is place.parts.registry


async def test_a_registry_for_other_providers_is_live_only_once_it_is_adopted(place: Place) -> None:
    first = place.parts.registry
    place.write({"ollama": "http://127.0.0.1:1", "new-lab": "http://127.0.0.1:3/v1"})
    configuration = place.following.read(None)
    second = place.following.facts(configuration)
    assert second is not first
    assert place.following.facts(configuration) is second
    assert place.parts.registry is first
    discovery = await second.refresh()
    assert [state.provider.name for state in discovery.providers] == ["ollama", "new-lab"]
    place.following.adopted(configuration)
    assert place.parts.registry is second
    assert sorted(place.parts.providers) == ["new-lab", "ollama"]


async def test_an_edit_of_another_provider_does_not_make_a_host_that_is_down_forgotten(place: Place) -> None:
    async with FakeOllama(models=["mistral:latest"]) as fake:
        place.write({"ollama": fake.url, "lab": "http://127.0.0.1:2/v1"})
        configuration = place.following.read(None)
        await place.following.facts(configuration).refresh()
        place.following.adopted(configuration)
    place.write({"ollama": fake.url, "lab": "http://127.0.0.1:3/v1"})
    discovery = await place.following.facts(place.following.read(None)).refresh()
    assert not discovery.providers[0].up
    assert [(str(model.ref), model.provider_up) for model in discovery.models] == [("ollama:mistral:latest", False)]
    place.write({"ollama": "http://127.0.0.1:1", "lab": "http://127.0.0.1:3/v1"})
    assert (await place.following.facts(place.following.read(None)).refresh()).models == ()


async def test_other_declared_facts_are_reason_for_another_registry(place: Place) -> None:
    place.write(
        {"ollama": "http://127.0.0.1:1", "lab": "http://127.0.0.1:2/v1"},
        model_profiles={"x:1b": {"capabilities": {"context_length": 1_000}}},
    )
    assert place.following.facts(place.following.read(None)) is not place.parts.registry


async def test_requests_under_way_go_where_they_were_admitted_to_whatever_is_edited_meanwhile(place: Place) -> None:
    before = place.parts.providers["lab"]
    place.write({"lab": "http://127.0.0.1:9/v1"})
    configuration = place.following.read(None)
    place.following.facts(configuration)
    place.following.adopted(configuration)
    after = place.parts.providers["lab"]
    urls = [
        (await place.following.endpoints.resolve(X, provider=one, context_tokens=None)).base_url
        for one in (before, after)
    ]
    assert urls == ["http://127.0.0.1:2/v1", "http://127.0.0.1:9/v1"]


async def test_only_a_provider_that_is_reached_elsewhere_or_gone_begins_anew(place: Place) -> None:
    ollama = {"ollama": "http://127.0.0.1:1"}
    for lab, moved in (
        ({"lab": "http://127.0.0.1:2/v1", "new": "http://127.0.0.1:5/v1"}, []),
        ({"lab": "http://127.0.0.1:9/v1", "new": "http://127.0.0.1:5/v1"}, ["lab"]),
        ({"lab": "http://127.0.0.1:9/v1"}, ["lab", "new"]),
    ):
        place.write({**ollama, **lab})
        configuration = place.following.read(None)
        place.following.facts(configuration)
        place.following.adopted(configuration)
        assert place.moved == moved


async def test_keepers_follow_in_the_mapping_that_was_handed_out(place: Place) -> None:
    keepers = place.following.keepers
    assert list(keepers) == ["ollama"]
    place.write({"ollama-b": "http://127.0.0.1:4"})
    configuration = place.following.read(None)
    place.following.facts(configuration)
    assert list(keepers) == ["ollama"]
    place.following.adopted(configuration)
    assert list(keepers) == ["ollama-b"]


async def test_models_are_loaded_and_let_go_of_on_the_host_that_is_meant_whatever_is_edited(place: Place) -> None:
    model = a_model("ollama:mistral:latest")
    async with FakeOllama(models=["mistral"]) as old, FakeOllama(models=["mistral"]) as new:
        for url in (old.url, new.url):
            place.write({"ollama": url})
            configuration = place.following.read(None)
            place.following.facts(configuration)
            place.following.adopted(configuration)
        there = a_provider(url=old.url)
        await place.following.load(model, provider=there, context_tokens=2_048, keep_alive=None, within_s=20.0)
        assert (dict(old.loaded), dict(new.loaded)) == ({"mistral:latest": 2_048}, {})
        assert await place.following.unload(model, provider=there)
        assert (dict(old.loaded), dict(new.loaded)) == ({}, {})
        assert not await place.following.unload(model, provider=there)


async def test_a_provider_whose_models_nobody_keeps_is_left_alone(place: Place) -> None:
    lab = a_provider("lab", kind=ProviderKind.OPENAI)
    await place.following.load(a_model("lab:x"), provider=lab, context_tokens=None, keep_alive=None, within_s=20.0)
    assert not await place.following.unload(a_model("lab:x"), provider=lab)


async def test_keys_of_providers_that_come_are_masked_before_they_are_used(place: Place) -> None:
    assert place.redactor.clean("sk-of-the-new-lab") == "sk-of-the-new-lab"
    place.write({"new-lab": "http://127.0.0.1:3/v1"})
    place.following.facts(place.following.read(None))
    assert place.redactor.clean("sk-of-the-new-lab") == "[secret]"


def test_all_layers_are_read_again_with_the_profile_that_is_asked_for(tmp_path: Path) -> None:
    write(tmp_path, {})
    (tmp_path / "user_profiles").mkdir()
    for name in ("coding", "writing"):
        (tmp_path / "user_profiles" / f"{name}.json").write_text("{}", encoding="utf-8")
    workspace = a_workspace(tmp_path, profile="coding")
    assert workspace.configuration().profile == "coding"
    assert workspace.read_again("writing").profile == "writing"
    assert workspace.read_again("").profile is None
    assert workspace.read_again(None).profile == "coding"
    with pytest.raises(UnknownName) as raised:
        workspace.read_again("codin")
    assert str(raised.value) == 'there is no profile "codin"; known: coding, writing'
    (tmp_path / "models.json").write_text("{", encoding="utf-8")
    with pytest.raises(ConfigInvalid):
        workspace.read_again(None)


def test_once_a_profile_was_chosen_while_running_the_flag_and_the_variable_do_not_count(tmp_path: Path) -> None:
    write(tmp_path, {})
    (tmp_path / "user_profiles").mkdir()
    for name in ("coding", "writing", "research"):
        (tmp_path / "user_profiles" / f"{name}.json").write_text("{}", encoding="utf-8")
    workspace = a_workspace(tmp_path, profile="coding", ROLEGATE_PROFILE="research")
    workspace.choose("writing")
    assert (tmp_path / "state" / "active_profile").read_text(encoding="utf-8") == "writing\n"
    assert workspace.read_again(None).profile == "writing"
    workspace.choose(None)
    assert workspace.read_again(None).profile is None


def test_a_choice_that_cannot_be_kept_says_why_and_changes_nothing(tmp_path: Path) -> None:
    write(tmp_path, {})
    (tmp_path / "user_profiles").mkdir()
    (tmp_path / "user_profiles" / "coding.json").write_text("{}", encoding="utf-8")
    (tmp_path / "state").write_text("in the way", encoding="utf-8")
    workspace = a_workspace(tmp_path)
    with pytest.raises(RolegateError) as raised:
        workspace.choose("coding")
    assert str(raised.value) == f"{tmp_path / 'state'}: the active profile cannot be written: File exists"
    assert raised.value.hint == "let the gateway write to its state folder; nothing was changed"
