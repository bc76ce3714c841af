"""The registry asks all, waits for none too long and forgets nothing it was told."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from gateway.domain.model import Lane, Model, ModelRef, Provider, ProviderKind, Residency
from gateway.domain.ports import ProviderState
from gateway.errors import ProviderFailed
from gateway.registry.registry import Registry
from gateway.registry.speeds import Speeds


@dataclass
class ToldSource:
    """A source that answers what it is told to."""

    name: str
    names: Sequence[str] = ()
    up: bool = True
    complete: bool = True
    gate: asyncio.Event | None = None
    failure: Exception | None = None
    url: str = "http://127.0.0.1:1"
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def provider(self) -> Provider:
        return Provider(name=self.name, kind=ProviderKind.OLLAMA, lane=Lane.OLLAMA, url=self.url)

    async def discover(self) -> tuple[ProviderState, Sequence[Model]]:
        names, gate = self.names, self.gate
        self.asked.set()
        if gate is not None:
            await gate.wait()
        if self.failure is not None:
            raise self.failure
        if not self.up:
            return ProviderState(provider=self.provider, up=False, error=f"{self.name} is down"), ()
        loaded = Residency(size_bytes=5, size_vram_bytes=0)
        models = [
            Model(
                ref=ModelRef(provider=self.name, name=name),
                lane=Lane.OLLAMA,
                cloud=False,
                chats=True,
                embeds=False,
                resident=loaded,
            )
            for name in names
        ]
        return ProviderState(provider=self.provider, up=True, complete=self.complete), models


async def test_it_knows_nothing_before_the_first_look_and_the_last_one_after() -> None:
    registry = Registry([ToldSource("a", ["x:1"]), ToldSource("b", ["y:1"])])
    assert registry.last is None
    discovery = await registry.refresh()
    assert [str(model.ref) for model in discovery.models] == ["a:x:1", "b:y:1"]
    assert registry.last is discovery


async def test_models_of_a_provider_that_went_down_stay_as_last_known() -> None:
    source = ToldSource("a", ["x:1"])
    registry = Registry([source])
    await registry.refresh()
    source.up = False
    for _ in range(2):
        discovery = await registry.refresh()
        assert discovery.providers[0].error == "a is down"
        assert [(model.provider_up, model.resident) for model in discovery.models] == [(False, None)]
    source.up = True
    assert (await registry.refresh()).models[0].provider_up


async def test_a_registry_of_other_providers_remembers_those_that_are_asked_at_the_same_place() -> None:
    sources = [ToldSource(name, [f"{name}:1"]) for name in ("here", "moved", "gone")]
    before = Registry(sources)
    await before.refresh()
    after = [ToldSource("here", up=False), ToldSource("moved", up=False, url="http://127.0.0.1:2"), ToldSource("new")]
    registry = Registry(after)
    registry.remember(before.heard())
    models = (await registry.refresh()).models
    assert [(str(model.ref), model.provider_up) for model in models] == [("here:here:1", False)]
    after[0].names, after[0].up = ["here:2"], True
    assert [str(model.ref) for model in (await registry.refresh()).models] == ["here:here:2"]


async def test_a_source_that_hangs_or_fails_does_not_take_the_others_along() -> None:
    sources = [
        ToldSource("slow", ["x:1"], gate=asyncio.Event()),
        ToldSource("wrong", failure=ProviderFailed("wrong answers nonsense", provider="wrong")),
        ToldSource("fine", ["y:1"]),
    ]
    discovery = await Registry(sources, source_s=0.05).refresh()
    assert [(state.up, state.error) for state in discovery.providers] == [
        (False, "slow at http://127.0.0.1:1 does not answer: no answer within 0.05 s"),
        (False, "wrong answers nonsense"),
        (True, ""),
    ]
    assert [str(model.ref) for model in discovery.models] == ["fine:y:1"]


async def test_of_overlapping_looks_the_one_that_began_last_counts() -> None:
    gate = asyncio.Event()
    source = ToldSource("a", ["old:1"], gate=gate)
    registry = Registry([source])
    early = asyncio.create_task(registry.refresh())
    await source.asked.wait()
    source.names, source.gate = ["new:1"], None
    late = await registry.refresh()
    gate.set()
    assert [model.ref.name for model in (await early).models] == ["old:1"]
    assert registry.last is late
    source.up = False
    assert [model.ref.name for model in (await registry.refresh()).models] == ["new:1"]


async def test_a_look_that_is_not_complete_is_told_as_such() -> None:
    discovery = await Registry([ToldSource("a", ["x:1"], complete=False), ToldSource("b")]).refresh()
    assert [(state.up, state.complete) for state in discovery.providers] == [(True, False), (True, True)]


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (ValueError("what\nis \ud800 this"), "ValueError: what is \\ud800 this"),
        (ExceptionGroup("several", [ExceptionGroup("more", [MemoryError()])]), "MemoryError"),
        (KeyError("k" * 300), f"KeyError: '{'k' * 189}…"),
    ],
    ids=["text", "group", "long"],
)
async def test_whatever_goes_wrong_with_one_source_the_others_are_told_of(
    failure: Exception, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    sources = [ToldSource("odd", failure=failure), ToldSource("fine", ["y:1"])]
    discovery = await Registry(sources).refresh()
    assert [(state.up, state.error) for state in discovery.providers] == [
        (False, f"odd at http://127.0.0.1:1 could not be read: {reason}"),
        (True, ""),
    ]
    assert [str(model.ref) for model in discovery.models] == ["fine:y:1"]
    [record] = caplog.records
    assert (record.levelno, record.name) == (logging.ERROR, "gateway.registry.registry")
    assert record.getMessage() == "odd at http://127.0.0.1:1 could not be read"
    assert record.exc_info is not None
    assert record.exc_info[1] is failure


@dataclass
class ToldSpeeds:
    """A log of what it is told."""

    answers: dict[str, list[float]] = field(default_factory=dict)

    def latest(self) -> dict[str, list[float]]:
        return self.answers


async def test_models_have_the_speed_that_was_measured_here_in_every_registry() -> None:
    log = ToldSpeeds()
    speeds = Speeds(log)
    first, second = (Registry([ToldSource("ollama", ["a", "b"])], speeds=speeds) for _ in range(2))
    assert [one.speed_tokens_s for one in (await first.refresh()).models] == [None, None]
    log.answers = {"ollama:a": [50.0, 52.0, 51.0]}
    assert [one.speed_tokens_s for one in (await first.refresh()).models] == [51.0, None]
    log.answers = {}
    assert [one.speed_tokens_s for one in (await second.refresh()).models] == [51.0, None]
