"""What was learned from failures holds at once, outlives the process, and goes when its ground is gone."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from builders import a_model, a_provider, reported
from gateway.domain.capabilities import Fact, Origin
from gateway.domain.model import Model, ModelRef
from gateway.domain.ports import ProviderState
from gateway.registry.cache import CapabilityCache
from gateway.registry.corrections import FAILED_LOAD_S, REFUSAL_S, Corrections, LessonStore
from gateway.registry.registry import Registry
from live_builders import SteeredSource

REF = ModelRef(provider="ollama", name="a:1b")
KEY = ("http://127.0.0.1:11434 ollama", "d1")
REFUSED = {"supports_tools": "no tools", "supports_function_calling": "no tools"}


class Hours:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now_s = 1_000_000.0

    def __call__(self) -> float:
        return self.now_s


class Shelf:
    """A store in memory."""

    def __init__(self, kept: Mapping[tuple[str, str], str] | None = None) -> None:
        self.kept = dict(kept or {})
        self.full = False

    def lessons(self) -> Mapping[tuple[str, str], str]:
        return dict(self.kept)

    def keep_lessons(self, changed: Mapping[tuple[str, str], str]) -> bool:
        if self.full:
            return False
        for key, text in changed.items():
            self.kept.pop(key, None)
            if text:
                self.kept[key] = text
        return True


def a_tool_model(name: str = "a:1b", *, digest: str = "d1", resident: int | None = None) -> Model:
    return replace(a_model(f"ollama:{name}", tools=True, resident_context=resident), digest=digest)


def look(
    corrections: Corrections, *models: Model, version: str = "1", url: str = "http://127.0.0.1:11434"
) -> tuple[Model, ...]:
    corrections.recall()
    state = ProviderState(provider=a_provider(url=url), up=True, version=version)
    found = corrections.applied(models, states=[state])
    corrections.keep(corrections.changes())
    return found


def taught(store: LessonStore | None = None, *, clock: Hours | None = None) -> Corrections:
    """Corrections that know of a refusal and a failed load of one model."""
    corrections = Corrections(store=store, now_s=clock or Hours())
    corrections.refuse(REF, feature="supports_tools", words="no tools")
    corrections.load_failed(REF, context_tokens=8192, floor_bytes=9_000_000_000, words="out of memory")
    look(corrections, a_tool_model())
    return corrections


def told(corrections: Corrections) -> list[str]:
    return [str(one) for one in corrections.take_news()]


def test_a_refusal_holds_before_the_next_look_and_is_news_once() -> None:
    corrections = Corrections()
    assert corrections.refused(REF) == {}
    assert corrections.refuse(REF, feature="supports_tools", words="no\n tools")
    assert corrections.refused(REF) == REFUSED
    assert not corrections.refuse(REF, feature="supports_tools", words="no tools")
    assert told(corrections) == ["ollama:a:1b refused tools"]
    assert told(corrections) == []


def test_after_the_next_look_the_models_say_so_themselves() -> None:
    corrections = Corrections(now_s=Hours())
    untouched = look(corrections, a_tool_model())
    assert untouched == (a_tool_model(),)
    corrections.refuse(REF, feature="supports_tools", words="no tools")
    corrections.load_failed(REF, context_tokens=8192, floor_bytes=9_000_000_000, words="out of memory")
    for _ in range(2):
        [model] = look(corrections, a_tool_model())
        missing = Fact(value=False, origin=Origin.MEASURED, source="refused when it was asked: no tools")
        assert model.capabilities.supports_tools == model.capabilities.supports_function_calling == missing
        assert [(one.context_tokens, one.floor_bytes) for one in model.failed_loads] == [(8192, 9_000_000_000)]
        assert model.warnings == (
            "supports_tools is reported true, but the server refused it (no tools); false is used",
            "loading it with 8,192 tokens failed (out of memory): from there on it counts as 9.00 GB at least",
        )
        assert corrections.refused(REF) == REFUSED
    assert told(corrections) == ["ollama:a:1b refused tools", "ollama:a:1b failed to load"]


def test_other_names_of_the_same_digest_are_corrected_with_it_and_other_models_are_not() -> None:
    corrections = taught()
    models = look(corrections, a_tool_model(), a_tool_model("alias:1b"), a_tool_model("other:1b", digest="d2"))
    assert [one.capabilities.supports_tools == reported(True) for one in models] == [False, False, True]
    assert corrections.refused(ModelRef(provider="ollama", name="alias:1b")) == REFUSED


def test_a_new_digest_forgets() -> None:
    corrections = taught()
    corrections.take_news()
    assert look(corrections, a_tool_model(digest="d2")) == (a_tool_model(digest="d2"),)
    assert corrections.refused(REF) == {}
    assert told(corrections) == ["ollama:a:1b may be asked for tools again", "ollama:a:1b may be loaded again"]


def test_another_version_of_the_server_is_asked_again() -> None:
    store = Shelf()
    corrections = taught(store)
    assert store.kept != {}
    assert look(corrections, a_tool_model(), version="2") == (a_tool_model(),)
    assert store.kept == {}


@pytest.mark.parametrize("digest", ["d1", ""])
def test_what_one_address_taught_holds_there_and_at_no_other(digest: str) -> None:
    store = Shelf()
    corrections = Corrections(store=store, now_s=Hours())
    corrections.refuse(REF, feature="supports_tools", words="no tools")
    corrections.load_failed(REF, context_tokens=8192, floor_bytes=9_000_000_000, words="out of memory")
    model = a_tool_model(digest=digest)
    [here] = look(corrections, model)
    kept = dict(store.kept)
    assert look(corrections, model, url="http://gpu:11434") == (model,)
    assert corrections.refused(REF) == {}
    assert look(corrections, model) == (here,)
    assert corrections.refused(REF) == REFUSED
    assert store.kept == kept


def test_a_restart_remembers(tmp_path: Path) -> None:
    path = tmp_path / "registry.sqlite"
    taught(CapabilityCache(path=path))
    again = Corrections(store=CapabilityCache(path=path), now_s=Hours())
    [model] = look(again, a_tool_model())
    assert again.refused(REF) == REFUSED
    assert [one.floor_bytes for one in model.failed_loads] == [9_000_000_000]
    assert told(again) == []


def test_a_model_without_a_digest_is_not_kept_and_believed_for_a_while_only() -> None:
    store, clock = Shelf(), Hours()
    corrections = Corrections(store=store, now_s=clock)
    corrections.refuse(REF, feature="supports_tools", words="no tools")
    look(corrections, a_tool_model(digest=""))
    assert store.kept == {}
    clock.now_s += REFUSAL_S
    look(corrections, a_tool_model(digest=""))
    assert corrections.refused(REF) == REFUSED
    clock.now_s += 1
    assert look(corrections, a_tool_model(digest="")) == (a_tool_model(digest=""),)
    assert corrections.refused(REF) == {}


@pytest.mark.parametrize(("resident", "forgotten"), [(4096, False), (8192, True), (16384, True)])
def test_a_load_that_succeeds_forgets_the_failed_ones_up_to_its_context(resident: int, forgotten: bool) -> None:
    store = Shelf()
    corrections = taught(store)
    [model] = look(corrections, a_tool_model(resident=resident))
    assert (model.failed_loads == ()) is forgotten
    assert corrections.refused(REF) == REFUSED
    assert ('"loads": []' in store.kept[KEY]) is forgotten


@pytest.mark.parametrize(("context", "forgotten"), [(4096, False), (8192, True), (None, True)])
def test_a_load_that_is_told_of_forgets_as_well(context: int | None, forgotten: bool) -> None:
    corrections = taught()
    corrections.take_news()
    corrections.forget_loads(a_tool_model(), context_tokens=context)
    [model] = look(corrections, a_tool_model())
    assert (model.failed_loads == ()) is forgotten
    assert told(corrections) == (["ollama:a:1b may be loaded again"] if forgotten else [])


def test_a_failed_load_is_believed_for_a_day() -> None:
    clock = Hours()
    corrections = taught(clock=clock)
    clock.now_s += FAILED_LOAD_S + 1
    [model] = look(corrections, a_tool_model())
    assert model.failed_loads == ()
    assert corrections.refused(REF) == REFUSED


def test_of_two_failed_loads_at_one_context_the_higher_floor_stays() -> None:
    corrections = taught()
    corrections.load_failed(REF, context_tokens=8192, floor_bytes=5, words="again")
    [model] = look(corrections, a_tool_model())
    assert [one.floor_bytes for one in model.failed_loads] == [9_000_000_000]


def test_what_is_learned_of_a_model_that_is_not_listed_waits_for_it() -> None:
    corrections = Corrections(now_s=Hours())
    corrections.refuse(REF, feature="supports_tools", words="no tools")
    assert look(corrections) == ()
    assert corrections.refused(REF) == REFUSED


@pytest.mark.parametrize("text", ["", "x", "[]", "{}", '{"version": 1, "refused": {"a": 1}, "loads": []}', "[" * 9999])
def test_a_lesson_that_cannot_be_read_counts_as_never_kept(text: str) -> None:
    corrections = Corrections(store=Shelf({KEY: text}))
    assert look(corrections, a_tool_model()) == (a_tool_model(),)


def test_long_words_are_cut() -> None:
    corrections = Corrections()
    corrections.refuse(REF, feature="supports_tools", words="x" * 500)
    assert corrections.refused(REF)["supports_tools"] == "x" * 200 + "…"


async def test_the_registry_holds_its_models_against_them_and_writes_them_down() -> None:
    store = Shelf()
    registry = Registry([SteeredSource(a_tool_model())], corrections=Corrections(store=store))
    await registry.refresh()
    registry.corrections.refuse(REF, feature="supports_tools", words="no tools")
    discovery = await registry.refresh()
    tools = discovery.models[0].capabilities.supports_tools
    assert tools is not None
    assert (tools.value, tools.origin) == (False, Origin.MEASURED)
    assert list(store.kept) == [KEY]


def test_what_could_not_be_kept_is_kept_with_the_next_look() -> None:
    store = Shelf()
    store.full = True
    corrections = taught(store)
    assert store.kept == {}
    store.full = False
    look(corrections, a_tool_model())
    assert list(store.kept) == [KEY]
