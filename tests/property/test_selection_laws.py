"""Laws of the role mapper, over worlds that nobody would think of."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from builders import a_cloud, a_machine, a_model, a_provider, a_role
from gateway.domain.capabilities import ABILITIES
from gateway.domain.model import Model, ProviderKind
from gateway.domain.plan import Via
from gateway.domain.ports import Discovery, ProviderState
from gateway.domain.resources import Resources
from gateway.domain.role import Policy, Role
from gateway.domain.selection import Selection, select
from gateway.domain.trace import Verdict

PROVIDERS = (
    a_provider("ollama"),
    a_provider("far", on_this_host=False),
    a_provider("embedded", kind=ProviderKind.EMBEDDED, url=None),
    a_cloud("openai"),
    a_cloud("keyless", has_key=False),
)
KINDS = {one.name: one.kind for one in PROVIDERS}
NAMES = [f"m{index}:1b" for index in range(5)]

scores = st.dictionaries(st.sampled_from(ABILITIES), st.floats(0.4, 0.99), max_size=3)


@st.composite
def models(draw: st.DrawFn) -> list[Model]:
    places = draw(st.lists(st.tuples(st.sampled_from(PROVIDERS), st.sampled_from(NAMES)), unique=True, max_size=12))
    return [
        a_model(
            f"{provider.name}:{name}",
            kind=provider.kind,
            scores=draw(scores),
            context=draw(st.sampled_from([None, 2048, 8192, 131_072])),
            memory_gb=draw(st.sampled_from([None, 1.0, 5.0, 9.0, 30.0])),
            weights_gb=draw(st.sampled_from([None, 0.5, 4.0, 12.0])),
            tools=draw(st.sampled_from([None, True, False])),
            chats=draw(st.sampled_from([None, True, True, False])),
            embeds=draw(st.sampled_from([None, False, True])),
            resident_context=draw(st.sampled_from([None, None, 8192])),
            provider_up=draw(st.sampled_from([True, True, False])),
            speed=draw(st.sampled_from([None, 10.0, 80.0])),
        )
        for provider, name in places
    ]


references = st.lists(
    st.one_of(
        st.sampled_from(NAMES),
        st.builds("{}:{}".format, st.sampled_from([one.name for one in PROVIDERS]), st.sampled_from(NAMES)),
    ),
    max_size=4,
)


@st.composite
def roles(draw: st.DrawFn, name: str = "planner") -> Role:
    return a_role(
        name,
        preferred=draw(references),
        cloud=draw(references),
        scores=draw(st.dictionaries(st.sampled_from(ABILITIES), st.floats(0.4, 0.95), max_size=2)),
        features=draw(st.sampled_from([(), ("supports_tools",)])),
        context_min=draw(st.sampled_from([None, 4096, 32_000])),
        memory_max_gb=draw(st.sampled_from([None, 6.0])),
        weights=draw(st.sampled_from([{}, {"coding_strength": 0.5, "speed": 0.5}, {"cost": 1.0, "creativity": 2.0}])),
        discover=draw(st.booleans()),
        allow_cloud=draw(st.booleans()),
        max_deployments=draw(st.sampled_from([1, 2, 8])),
    )


machines = st.builds(
    a_machine,
    available_gb=st.sampled_from([2.0, 8.0, 64.0]),
    total_gb=st.just(64.0),
    memory_assumed=st.booleans(),
    temperature_c=st.sampled_from([None, 40.0, 95.0]),
)
policies = st.builds(Policy, cloud_fallback=st.booleans(), system_default=references.map(tuple))


def world(found: list[Model]) -> Discovery:
    return Discovery(providers=tuple(ProviderState(provider=one, up=True) for one in PROVIDERS), models=tuple(found))


def run(chosen: list[Role], found: list[Model], machine: Resources, policy: Policy) -> Selection:
    return select(roles={one.name: one for one in chosen}, discovery=world(found), resources=machine, policy=policy)


@given(roles(), models(), machines, policies, st.randoms(use_true_random=False))
def test_the_plan_and_its_trace_do_not_depend_on_the_order_of_models(
    role: Role, found: list[Model], machine: Resources, policy: Policy, random: object
) -> None:
    shuffled = list(found)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis types its generator loosely
    first, second = run([role], found, machine, policy), run([role], shuffled, machine, policy)
    assert first.plan.digest == second.plan.digest
    assert first.plan.roles == second.plan.roles
    assert first.trace("planner") == second.trace("planner")


@given(roles("a"), roles("b"), models(), machines, policies)
def test_the_trace_agrees_with_the_plan(
    a: Role, b: Role, found: list[Model], machine: Resources, policy: Policy
) -> None:
    selection = run([a, b], found, machine, policy)
    for name in ("a", "b"):
        entries = selection.trace(name).entries
        deployments = selection.plan.roles[name].deployments
        passed = [one for one in entries if one.verdict is Verdict.OK]
        assert [one.model for one in passed] == [str(one.ref) for one in deployments]
        assert [one.order for one in passed] == list(range(1, len(deployments) + 1))
        assert [one.via for one in passed] == [one.via for one in deployments]
        labels = [one.model for one in entries]
        assert len(labels) == len(set(labels))
        assert {str(model.ref) for model in found} <= set(labels)
        assert all(one.reason for one in entries)


@given(roles(), models(), machines, policies, st.data())
def test_removing_a_loser_changes_nothing(
    role: Role, found: list[Model], machine: Resources, policy: Policy, data: st.DataObject
) -> None:
    selection = run([role], found, machine, policy)
    chosen = {one.ref for one in selection.plan.roles["planner"].deployments}
    losers = [one for one in found if one.ref not in chosen and one.resident is None]
    if not losers or role.task is None:
        role = replace(role, task=selection.plan.roles["planner"].task)
    if losers:
        gone = data.draw(st.sampled_from(losers))
        kept = [one for one in found if one.ref != gone.ref]
        after = run([role], kept, machine, policy).plan.roles["planner"].deployments
        before = selection.plan.roles["planner"].deployments
        named = {*role.preferred, *role.cloud_fallback, *policy.system_default}
        if gone.ref.name not in named:  # a bare name may now lead to another provider's model of that name
            assert after == before


@given(roles(), models(), machines, policies)
def test_a_plan_keeps_the_operators_rules(role: Role, found: list[Model], machine: Resources, policy: Policy) -> None:
    by_ref = {model.ref: model for model in found}
    plan = run([role], found, machine, policy).plan.roles["planner"]
    assert len(plan.deployments) <= role.max_deployments
    for one in plan.deployments:
        model = by_ref[one.ref]
        assert model.provider_up
        if model.cloud:
            assert role.allow_cloud
            assert policy.cloud_fallback
            assert one.ref.provider != "keyless"
        trained = model.capabilities.context_length
        least = role.requirements.context_min_tokens
        if trained is not None and least is not None:
            assert trained.value >= least
        if one.via is Via.DISCOVERED:
            assert role.discover
            assert not model.cloud
    ranks = [list(Via).index(one.via) for one in plan.deployments]
    assert ranks == sorted(ranks)
