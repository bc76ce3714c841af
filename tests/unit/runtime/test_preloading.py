"""What a swap loads ahead and lets go of: nothing that takes the memory of what is used."""

from collections.abc import Sequence
from dataclasses import replace

from builders import a_discovery, a_machine, a_model, a_provider
from gateway.domain.model import Model, ProviderKind
from gateway.domain.plan import Plan, RolePlan
from gateway.domain.ports import Discovery
from gateway.domain.role import Manner, Policy, Task
from gateway.runtime.residency import Use, leftovers, to_preload, to_unload
from plans import a_deployment

FREE = Policy(memory_margin=0.0)


def a_plan(**roles: list[str]) -> Plan:
    return Plan(
        roles={
            name: RolePlan(
                role=name, task=Task.CHAT, deployments=tuple(a_deployment(one, context=8_192) for one in refs)
            )
            for name, refs in roles.items()
        }
    )


def model(name: str, *, gb: float = 4.0, loaded: bool = False, context: int = 8_192) -> Model:
    return a_model(f"ollama:{name}", memory_gb=gb, resident_context=context if loaded else None, resident_gb=gb)


def preloaded(plan: Plan, *models: Model, free_gb: float = 100.0, serving: Plan | None = None) -> list[str]:
    found = to_preload(
        plan,
        serving=[serving] if serving else [],
        discovery=a_discovery(models, providers=[a_provider(on_this_host=True)]),
        resources=a_machine(available_gb=free_gb + 1.073741824, total_gb=100.0),
        policy=FREE,
    )
    return [str(one.model.ref) for one in found]


def test_the_first_model_of_each_role_is_loaded_once() -> None:
    plan = a_plan(planner=["ollama:a", "ollama:b"], critic=["ollama:c"], executor=["ollama:a"], nothing=[])
    assert preloaded(plan, model("a"), model("b"), model("c")) == ["ollama:c", "ollama:a"]


def test_what_is_loaded_as_planned_is_left_alone_and_a_smaller_context_is_not_enough() -> None:
    plan = a_plan(planner=["ollama:a"], critic=["ollama:b"])
    assert preloaded(plan, model("a", loaded=True), model("b", loaded=True, context=4_096)) == ["ollama:b"]


def test_a_load_that_would_take_the_memory_of_a_model_in_use_is_not_begun() -> None:
    plan = a_plan(critic=["ollama:b"], planner=["ollama:a"])
    used = model("b", loaded=True)
    assert preloaded(plan, model("a"), used, free_gb=4.0) == ["ollama:a"]
    assert preloaded(plan, model("a"), used, free_gb=3.9) == []


def test_what_the_plan_before_still_serves_with_counts_as_used() -> None:
    plan, before = a_plan(planner=["ollama:a"]), a_plan(planner=["ollama:b"])
    loaded = model("b", loaded=True)
    assert preloaded(plan, model("a"), loaded, free_gb=3.9) == ["ollama:a"]
    assert preloaded(plan, model("a"), loaded, free_gb=3.9, serving=before) == []


def test_models_are_preloaded_role_by_role_until_there_is_no_room() -> None:
    plan = a_plan(one=["ollama:a"], three=["ollama:c"], two=["ollama:b"])
    assert preloaded(plan, model("a"), model("b", gb=7.0), model("c"), free_gb=8.0) == ["ollama:a", "ollama:c"]


def test_where_nobody_knows_the_room_only_an_empty_host_is_loaded_into() -> None:
    far = a_provider(on_this_host=False)
    models = [model("a"), model("b"), model("c", loaded=True)]
    plan = a_plan(one=["ollama:a"], two=["ollama:b"])

    def found(*used: Model) -> list[str]:
        preloads = to_preload(
            plan,
            serving=[a_plan(old=["ollama:c"])],
            discovery=a_discovery(used, providers=[far]),
            resources=a_machine(),
            policy=FREE,
        )
        return [str(one.model.ref) for one in preloads]

    assert found(*models[:2]) == ["ollama:a"]
    assert found(*models) == []


def test_models_that_take_no_memory_of_ours_and_hosts_that_are_down_are_left_alone() -> None:
    lab = a_provider("lab", kind=ProviderKind.OPENAI)
    models = [a_model("lab:x", kind=ProviderKind.OPENAI), replace(model("a"), provider_up=False)]
    preloads = to_preload(
        a_plan(one=["lab:x"], two=["ollama:a"]),
        serving=[],
        discovery=a_discovery(models, providers=[a_provider(), lab], down=["ollama"]),
        resources=a_machine(),
        policy=FREE,
    )
    assert preloads == ()


def test_what_the_engine_keeps_anyway_is_loaded_without_a_word_on_how_long() -> None:
    engine = a_provider("embedded", kind=ProviderKind.EMBEDDED, url=None, on_this_host=True)
    kept = RolePlan(
        role="one",
        task=Task.CHAT,
        deployments=(a_deployment("embedded:tiny", context=2_048),),
        manner=Manner(keep_alive="10m"),
    )
    (preload,) = to_preload(
        Plan(roles={"one": kept}),
        serving=[],
        discovery=a_discovery([a_model("embedded:tiny", kind=ProviderKind.EMBEDDED)], providers=[engine]),
        resources=a_machine(),
        policy=FREE,
    )
    assert (preload.keep_alive, preload.provider) == (None, engine)


def unloaded(
    before: Plan, *, then: Discovery, serving: Sequence[Plan] = (), latest: Discovery | None = None
) -> list[tuple[str, str | None]]:
    now = latest or then
    left = leftovers(Use(plan=before, discovery=then))
    found = to_unload(left, serving=[Use(plan=one, discovery=now) for one in serving], discovery=now)
    return [(str(one.model.ref), one.provider.url) for one in found]


def test_what_only_the_plan_before_used_is_unloaded_once_for_all_its_names() -> None:
    alias = replace(model("a2", loaded=True), aliases=frozenset({"a"}))
    models = [
        replace(model("a", loaded=True), aliases=frozenset({"a2"})),
        alias,
        model("b", loaded=True),
        model("mine", loaded=True),
        model("cold"),
    ]
    before = a_plan(one=["ollama:a", "ollama:a2", "ollama:cold"], two=["ollama:b"])
    there = a_discovery(models, providers=[a_provider(url="http://a")])
    assert unloaded(before, then=there, serving=[a_plan(one=["ollama:b"])]) == [("ollama:a", "http://a")]
    assert unloaded(before, then=there, serving=[a_plan(one=["ollama:b"], two=["ollama:a2"])]) == []


def test_a_model_is_let_go_of_where_it_was_and_not_where_its_provider_is_now() -> None:
    there = a_discovery([model("x"), model("y")], providers=[a_provider(url="http://a")])
    moved = a_discovery([model("x", loaded=True)], providers=[a_provider(url="http://b")])
    gone = a_discovery([], providers=[])
    before, now = a_plan(one=["ollama:x"]), a_plan(one=["ollama:x"])
    assert unloaded(before, then=there, serving=[now], latest=moved) == [("ollama:x", "http://a")]
    assert unloaded(before, then=there, latest=moved) == [("ollama:x", "http://a")]
    assert unloaded(before, then=there, latest=gone) == [("ollama:x", "http://a")]
    assert unloaded(before, then=there) == []


def test_a_host_by_another_name_is_the_same_host() -> None:
    there = a_discovery([model("x", loaded=True)], providers=[a_provider(url="http://a")])
    renamed = a_discovery(
        [a_model("lab:x", memory_gb=4.0, resident_context=8_192, resident_gb=4.0)],
        providers=[a_provider("lab", url="http://a")],
    )
    before = a_plan(one=["ollama:x"])
    assert unloaded(before, then=there, serving=[a_plan(one=["lab:x"])], latest=renamed) == []
    assert unloaded(before, then=there, latest=renamed) == [("ollama:x", "http://a")]


def test_models_that_take_no_memory_of_ours_are_nothing_to_let_go_of() -> None:
    lab = a_provider("lab", kind=ProviderKind.OPENAI)
    there = a_discovery([a_model("lab:x", kind=ProviderKind.OPENAI)], providers=[lab])
    assert leftovers(Use(plan=a_plan(one=["lab:x"]), discovery=there)) == ()
