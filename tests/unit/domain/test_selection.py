"""The role mapper, step by step as docs describe it."""

from collections.abc import Iterable
from dataclasses import replace

import pytest

from builders import a_cloud, a_discovery, a_machine, a_model, a_provider, a_role
from gateway.domain.model import Model, ModelRef, Provider, ProviderKind
from gateway.domain.resources import Resources
from gateway.domain.role import Policy, Role, Task
from gateway.domain.selection import Selection, select
from gateway.domain.trace import TraceEntry, Verdict

REASONS = {"reasoning_strength": 0.85}
EMBEDDED = a_provider("embedded", kind=ProviderKind.EMBEDDED, url=None)


def choose(
    role: Role | Iterable[Role],
    models: Iterable[Model],
    *,
    providers: Iterable[Provider] = (),
    machine: Resources | None = None,
    policy: Policy | None = None,
    down: Iterable[str] = (),
) -> Selection:
    roles = [role] if isinstance(role, Role) else list(role)
    return select(
        roles={one.name: one for one in roles},
        discovery=a_discovery(models, providers=providers, down=down),
        resources=machine or a_machine(),
        policy=policy or Policy(),
    )


def order(selection: Selection, role: str = "planner") -> list[str]:
    return [str(one.ref) for one in selection.plan.roles[role].deployments]


def entry(selection: Selection, model: str, role: str = "planner") -> TraceEntry:
    (found,) = [one for one in selection.trace(role).entries if one.model == model]
    return found


def test_preferred_models_come_in_the_operators_order_whatever_they_score() -> None:
    models = [
        a_model("ollama:strong:7b", scores={"reasoning_strength": 0.95}),
        a_model("ollama:weak:7b", scores=REASONS),
    ]
    assert order(choose(a_role(preferred=["weak:7b", "strong:7b"]), models)) == ["ollama:weak:7b", "ollama:strong:7b"]


def test_a_bare_name_without_a_tag_means_latest() -> None:
    assert order(choose(a_role(preferred=["mistral"]), [a_model("ollama:mistral:latest")])) == ["ollama:mistral:latest"]


def test_a_bare_name_means_the_first_ollama_provider_that_has_it() -> None:
    providers = [a_provider("near"), a_provider("far")]
    models = [a_model("far:phi4:latest"), a_model("near:other:latest")]
    chosen = order(choose(a_role(preferred=["phi4"], discover=False), models, providers=providers))
    assert chosen == ["far:phi4:latest"]


def test_discovered_models_follow_the_preferred_ones_best_bucket_first() -> None:
    models = [
        a_model("ollama:a:1b", scores={"reasoning_strength": 0.60}),
        a_model("ollama:b:1b", scores={"reasoning_strength": 0.95}),
        a_model("ollama:named:1b", scores={"reasoning_strength": 0.50}),
    ]
    assert order(choose(a_role(preferred=["named:1b"]), models)) == ["ollama:named:1b", "ollama:b:1b", "ollama:a:1b"]


def test_inside_a_bucket_the_resident_model_wins_then_the_fast_one_then_the_name() -> None:
    same = {"reasoning_strength": 0.80}
    models = [
        a_model("ollama:d:1b", scores=same),
        a_model("ollama:c:1b", scores=same),
        a_model("ollama:fast:1b", scores=same, speed=50.0),
        a_model("ollama:loaded:1b", scores=same, resident_context=8192),
    ]
    assert order(choose(a_role(), models)) == ["ollama:loaded:1b", "ollama:fast:1b", "ollama:c:1b", "ollama:d:1b"]


def test_a_role_that_does_not_discover_takes_only_what_it_names() -> None:
    selection = choose(a_role(preferred=["a:1b"], discover=False), [a_model("ollama:a:1b"), a_model("ollama:b:1b")])
    assert order(selection) == ["ollama:a:1b"]
    assert entry(selection, "ollama:b:1b").verdict is Verdict.EXCLUDED
    assert entry(selection, "ollama:b:1b").reason == "the role's discover is false, and it is not named"


def test_cloud_models_come_after_local_ones_and_the_system_default_last() -> None:
    models = [
        a_model("ollama:a:1b", scores=REASONS),
        a_model("openai:gpt-4o-mini", kind=ProviderKind.CLOUD),
        a_model("embedded:tiny", kind=ProviderKind.EMBEDDED, scores={"reasoning_strength": 0.5}),
    ]
    selection = choose(
        a_role(cloud=["openai:gpt-4o-mini"], scores={"reasoning_strength": 0.7}),
        models,
        providers=[a_provider(), EMBEDDED, a_cloud()],
        policy=Policy(system_default=("embedded:tiny",)),
    )
    assert order(selection) == ["ollama:a:1b", "openai:gpt-4o-mini", "embedded:tiny"]
    assert [one.order for one in selection.plan.roles["planner"].deployments] == [1, 2, 3]


@pytest.mark.parametrize(
    ("role", "policy", "has_key", "verdict", "reason"),
    [
        (a_role(cloud=["openai:m"]), Policy(), False, Verdict.NO_API_KEY,
         "no API key is known for openai (`rolegate providers set-key openai`, or OPENAI_API_KEY)"),
        (a_role(cloud=["openai:m"]), Policy(cloud_fallback=False), True, Verdict.CLOUD_NOT_ALLOWED,
         "selection.cloud_fallback is false"),
        (a_role(cloud=["openai:m"], allow_cloud=False), Policy(), True, Verdict.CLOUD_NOT_ALLOWED,
         "the role's allow_cloud is false"),
        (a_role(cloud=["openai:m"], allow_cloud=False), Policy(), False, Verdict.CLOUD_NOT_ALLOWED,
         "the role's allow_cloud is false"),
        (a_role(), Policy(cloud_fallback=False), False, Verdict.EXCLUDED,
         "a cloud model serves a role only where it is named"),
        (a_role(), Policy(), True, Verdict.EXCLUDED, "a cloud model serves a role only where it is named"),
    ],
)  # fmt: skip
def test_cloud_needs_a_key_and_consent_and_a_name(
    role: Role, policy: Policy, has_key: bool, verdict: Verdict, reason: str
) -> None:
    models = [a_model("openai:m", kind=ProviderKind.CLOUD)]
    selection = choose(role, models, providers=[a_provider(), a_cloud(has_key=has_key)], policy=policy)
    assert order(selection) == []
    assert (entry(selection, "openai:m").verdict, entry(selection, "openai:m").reason) == (verdict, reason)


def test_an_ollama_cloud_model_needs_consent_like_any_cloud_model() -> None:
    stub = a_model("ollama:gpt-oss:120b-cloud", cloud=True, memory_gb=None)
    allowed = choose(a_role(preferred=["gpt-oss:120b-cloud"]), [stub])
    assert order(allowed) == ["ollama:gpt-oss:120b-cloud"]
    refused = choose(a_role(preferred=["gpt-oss:120b-cloud"], allow_cloud=False), [stub])
    assert entry(refused, "ollama:gpt-oss:120b-cloud").verdict is Verdict.CLOUD_NOT_ALLOWED


def test_the_system_default_is_excused_from_scores_but_not_from_context() -> None:
    tiny = a_model("embedded:tiny", kind=ProviderKind.EMBEDDED, scores={"reasoning_strength": 0.5}, context=8192)
    policy = Policy(system_default=("embedded:tiny",))
    weak = choose(a_role(scores={"reasoning_strength": 0.9}), [tiny], providers=[EMBEDDED], policy=policy)
    assert order(weak) == ["embedded:tiny"]
    short = choose(a_role(context_min=16_000), [tiny], providers=[EMBEDDED], policy=policy)
    assert order(short) == []
    assert entry(short, "embedded:tiny").reason == (
        "its context of 8,192 tokens is under the 16,000 that the role asks for"
    )


def test_a_score_is_compared_at_two_decimals() -> None:
    model = a_model("ollama:a:1b", scores={"reasoning_strength": 0.6951})
    assert order(choose(a_role(scores={"reasoning_strength": 0.7}), [model])) == ["ollama:a:1b"]
    lower = a_model("ollama:a:1b", scores={"reasoning_strength": 0.6949})
    refused = entry(choose(a_role(scores={"reasoning_strength": 0.7}), [lower]), "ollama:a:1b")
    assert refused.verdict is Verdict.REQUIREMENT_NOT_MET
    assert refused.reason == "reasoning_strength 0.69 (catalog) is under the 0.70 that the role asks for"


def test_an_unknown_score_passes_with_a_warning_for_a_named_model_and_fails_for_a_discovered_one() -> None:
    role = a_role(preferred=["named:1b"], scores={"coding_strength": 0.5})
    selection = choose(role, [a_model("ollama:named:1b"), a_model("ollama:other:1b")])
    assert order(selection) == ["ollama:named:1b"]
    assert entry(selection, "ollama:named:1b").warnings == (
        "its coding_strength is unknown; at least 0.50 is asked for",
    )
    assert entry(selection, "ollama:other:1b").verdict is Verdict.REQUIREMENT_NOT_MET


def test_a_required_feature_rules_out_a_model_that_lacks_it() -> None:
    models = [a_model("ollama:with:1b", tools=True), a_model("ollama:without:1b", tools=False)]
    selection = choose(a_role(preferred=["without:1b", "with:1b"], features=["supports_tools"]), models)
    assert order(selection) == ["ollama:with:1b"]
    assert (
        entry(selection, "ollama:without:1b").reason == "supports_tools is false (reported), and the role asks for it"
    )


def test_embedding_only_models_never_serve_a_chat_role() -> None:
    embedder = a_model("ollama:nomic-embed-text:latest", chats=False, embeds=True)
    selection = choose(a_role(preferred=["nomic-embed-text"]), [embedder, a_model("ollama:a:1b")])
    assert "ollama:nomic-embed-text:latest" not in order(
        choose(a_role(preferred=["nomic-embed-text", "a:1b"]), [embedder, a_model("ollama:a:1b")])
    )
    assert selection.plan.roles["planner"].task is Task.EMBEDDING
    assert order(selection) == ["ollama:nomic-embed-text:latest"]


def test_an_embedding_role_takes_embedding_models_only() -> None:
    models = [a_model("ollama:nomic-embed-text:latest", chats=False, embeds=True), a_model("ollama:a:1b")]
    selection = choose(a_role("embedder", task=Task.EMBEDDING), models)
    assert order(selection, "embedder") == ["ollama:nomic-embed-text:latest"]
    assert entry(selection, "ollama:a:1b", "embedder").reason == (
        "the role's task is embedding, and this is no embedding model"
    )


def test_over_the_memory_limit_comes_with_its_arithmetic() -> None:
    model = a_model("ollama:llama3.1:8b", weights_gb=4.92)
    refused = entry(
        choose(a_role(preferred=["llama3.1:8b"], context_min=8000, memory_max_gb=5), [model]), str(model.ref)
    )
    assert refused.verdict is Verdict.OVER_MEMORY_LIMIT
    assert "4.92 GB" in refused.reason
    assert refused.reason.endswith("at 8,000 tokens is over the role's limit of 5.00 GB")
    assert refused.numbers["memory_bytes"] == 4_920_000_000 + 32 * 2 * 1024 * 2 * 8192


def test_what_does_not_fit_now_says_how_much_is_missing() -> None:
    selection = choose(
        a_role(preferred=["a:1b"]),
        [a_model("ollama:a:1b", memory_gb=6.0)],
        machine=a_machine(available_gb=4.0, memory_assumed=True),
    )
    refused = entry(selection, "ollama:a:1b")
    assert refused.verdict is Verdict.DOES_NOT_FIT_NOW
    assert refused.reason == "6.00 GB declared at 8,192 tokens does not fit in 4.00 GB assumed available: 2.00 GB short"


def test_the_margin_is_kept_free_of_measured_memory_but_not_of_an_assumed_figure() -> None:
    model = [a_model("ollama:a:1b", memory_gb=15.0)]
    measured = choose(a_role(), model, machine=a_machine(available_gb=16.0, total_gb=16.0))
    assert entry(measured, "ollama:a:1b").verdict is Verdict.DOES_NOT_FIT_NOW
    assumed = choose(a_role(), model, machine=a_machine(available_gb=16.0, memory_assumed=True))
    assert order(assumed) == ["ollama:a:1b"]


def test_a_model_that_is_loaded_needs_nothing_more() -> None:
    loaded = a_model("ollama:a:1b", memory_gb=6.0, resident_context=8192)
    assert order(choose(a_role(), [loaded], machine=a_machine(available_gb=2.0))) == ["ollama:a:1b"]


def test_a_model_that_must_make_room_frees_what_it_holds() -> None:
    models = [
        a_model("ollama:big:1b", memory_gb=8.0),
        a_model("ollama:held:1b", resident_context=8192, resident_gb=6.0),
    ]
    selection = choose(a_role(preferred=["big:1b"]), models, machine=a_machine(available_gb=4.0, total_gb=10.0))
    assert order(selection)[0] == "ollama:big:1b"


def test_memory_of_another_host_is_the_operators_word_or_unknown() -> None:
    model = a_model("far:a:1b", memory_gb=6.0)
    unknown = a_provider("far", on_this_host=False)
    selection = choose(a_role(), [model], providers=[unknown], machine=a_machine(available_gb=1.0))
    assert order(selection) == ["far:a:1b"]
    assert entry(selection, "far:a:1b").warnings == ("the memory of far's host is unknown",)
    told = a_provider("far", on_this_host=False, memory_bytes=4_000_000_000)
    assert order(choose(a_role(), [model], providers=[told])) == []


def test_a_hot_machine_does_not_start_a_sensitive_model() -> None:
    models = [a_model("ollama:hot:1b", thermal=0.9), a_model("ollama:cool:1b", thermal=0.1)]
    selection = choose(a_role(preferred=["hot:1b", "cool:1b"]), models, machine=a_machine(temperature_c=90.0))
    assert order(selection) == ["ollama:cool:1b"]
    assert entry(selection, "ollama:hot:1b").reason == (
        "the machine is at 90 °C (hot from 85 °C), and the model's thermal sensitivity is 0.90"
    )


def test_a_name_that_nothing_has_is_not_installed_and_says_how_to_get_it() -> None:
    missing = entry(choose(a_role(preferred=["qwen3:8b"]), []), "qwen3:8b")
    assert missing.verdict is Verdict.NOT_INSTALLED
    assert missing.reason == "not installed on ollama; `ollama pull qwen3:8b` installs it"


def test_a_name_whose_only_provider_is_down_is_not_called_missing() -> None:
    selection = choose(a_role(preferred=["qwen3:8b"]), [], down=["ollama"])
    missing = entry(selection, "qwen3:8b")
    assert missing.verdict is Verdict.PROVIDER_DOWN
    assert missing.reason == "ollama at http://127.0.0.1:11434 does not answer"
    assert selection.plan.degraded == ("planner",)


def test_a_last_known_model_of_a_provider_that_is_down_is_not_used() -> None:
    selection = choose(a_role(), [a_model("ollama:a:1b", provider_up=False)], down=["ollama"])
    assert entry(selection, "ollama:a:1b").verdict is Verdict.PROVIDER_DOWN


def test_models_that_share_a_role_are_planned_with_the_largest_context_that_any_role_needs() -> None:
    roles = [a_role("small", preferred=["a:1b"]), a_role("large", preferred=["a:1b"], context_min=32_000)]
    selection = choose(roles, [a_model("ollama:a:1b", weights_gb=1.0)])
    assert entry(selection, "ollama:a:1b", "small").reason.endswith(
        "; loaded with 32,000 tokens (5.19 GB), which another role needs"
    )
    plan = selection.plan
    assert plan.roles["small"].deployments[0].context_tokens == 32_000
    assert plan.roles["large"].deployments[0].context_tokens == 32_000


def test_the_context_is_at_most_what_the_model_was_trained_for() -> None:
    plan = choose(a_role(), [a_model("ollama:a:1b", context=2048)]).plan
    assert plan.roles["planner"].deployments[0].context_tokens == 2048


def test_when_the_joint_profile_no_longer_fits_the_role_with_the_largest_need_loses_the_model() -> None:
    kv_per_token = 32 * 2 * 1024 * 2
    model = a_model("ollama:a:1b", weights_gb=1.0)
    room = (1_000_000_000 + kv_per_token * 40_000) / 1e9
    roles = [a_role("small", preferred=["a:1b"]), a_role("large", preferred=["a:1b"], context_min=32_000)]
    fits = choose(roles, [model], machine=a_machine(available_gb=room, memory_assumed=True))
    assert order(fits, "large") == ["ollama:a:1b"]
    tight = (1_000_000_000 + kv_per_token * 16_384) / 1e9
    selection = choose(roles, [model], machine=a_machine(available_gb=tight, memory_assumed=True))
    assert order(selection, "large") == []
    assert selection.plan.roles["small"].deployments[0].context_tokens == 8192


def test_a_role_keeps_at_most_its_limit_and_the_discovered_tail_goes_first() -> None:
    models = [a_model(f"ollama:m{index:02}:1b", scores=REASONS) for index in range(12)]
    models.append(a_model("openai:m", kind=ProviderKind.CLOUD))
    selection = choose(a_role(preferred=["m11:1b"], cloud=["openai:m"]), models, providers=[a_provider(), a_cloud()])
    assert order(selection) == [
        "ollama:m11:1b",
        *(f"ollama:m{index:02}:1b" for index in range(6)),
        "openai:m",
    ]
    assert entry(selection, "ollama:m06:1b").verdict is Verdict.EXCLUDED
    assert entry(selection, "ollama:m06:1b").reason == (
        "it qualifies, but the role has its 8 deployments (max_deployments)"
    )


def test_every_model_that_exists_has_exactly_one_verdict() -> None:
    models = [
        a_model("ollama:a:1b"),
        a_model("ollama:b:1b", chats=False, embeds=True),
        a_model("ollama:c:1b", chats=None),
    ]
    selection = choose(a_role(preferred=["a:1b", "ollama:a:1b", "missing:1b"]), models)
    assert sorted(one.model for one in selection.trace("planner").entries) == [
        "missing:1b", "ollama:a:1b", "ollama:b:1b", "ollama:c:1b",
    ]  # fmt: skip


def test_the_digest_ignores_scores_and_memory_and_notices_context() -> None:
    def digest(**changes: object) -> str:
        model = a_model("ollama:a:1b", **changes)  # type: ignore[arg-type]  # named by each call
        return choose(a_role(), [model]).plan.digest

    same = digest(scores={"reasoning_strength": 0.9})
    assert digest(scores={"reasoning_strength": 0.8}) == same
    assert digest(scores={"reasoning_strength": 0.9}, memory_gb=4.0) == same
    assert digest(scores={"reasoning_strength": 0.9}, context=4096) != same


def test_two_names_over_the_same_weights_free_their_memory_once() -> None:
    big = a_model("ollama:big:1b", memory_gb=8.0)
    loaded = a_model("ollama:a:1b", resident_context=8192, resident_gb=6.0)
    names = [
        replace(loaded, ref=ModelRef(provider="ollama", name=name), aliases=frozenset({"a:1b", "b:1b"} - {name}))
        for name in ("a:1b", "b:1b")
    ]
    selection = choose(a_role(preferred=["big:1b"]), [big, *names], machine=a_machine(available_gb=2.0, total_gb=10.0))
    assert entry(selection, "ollama:big:1b").reason.startswith(
        "8.00 GB declared at 8,192 tokens does not fit in 2.00 GB available + 6.00 GB held by loaded models"
    )


def test_two_names_over_the_same_weights_share_one_load_profile() -> None:
    first = replace(a_model("ollama:m:7b", weights_gb=1.0), aliases=frozenset({"m:latest"}))
    second = replace(a_model("ollama:m:latest", weights_gb=1.0), aliases=frozenset({"m:7b"}))
    roles = [
        a_role("small", preferred=["m:7b"], discover=False),
        a_role("large", preferred=["m:latest"], discover=False, context_min=32_000),
    ]
    plan = choose(roles, [first, second]).plan
    assert plan.roles["small"].deployments[0].context_tokens == 32_000
    assert plan.roles["large"].deployments[0].context_tokens == 32_000


def test_a_bare_name_is_looked_for_on_providers_that_answer_first() -> None:
    providers = [a_provider("near"), a_provider("far")]
    models = [a_model("near:a:1b", provider_up=False), a_model("far:a:1b")]
    selection = choose(a_role(preferred=["a:1b"], discover=False), models, providers=providers, down=["near"])
    assert order(selection) == ["far:a:1b"]


def test_an_assumed_figure_stands_for_this_machine_only() -> None:
    far = a_provider("far", on_this_host=False, memory_bytes=64_000_000_000)
    small = a_machine(available_gb=4.0, memory_assumed=True)
    assert order(choose(a_role(), [a_model("far:a:1b", memory_gb=20.0)], providers=[far], machine=small)) == [
        "far:a:1b"
    ]


def test_the_system_default_says_what_it_is_excused_from_and_is_judged_as_such() -> None:
    tiny = a_model(
        "embedded:tiny", kind=ProviderKind.EMBEDDED, scores={"reasoning_strength": 0.5}, memory_gb=0.5, tools=False
    )
    policy = Policy(system_default=("embedded:tiny",))
    scores = {"reasoning_strength": 0.7}
    passed = choose(a_role(scores=scores), [tiny], providers=[EMBEDDED], policy=policy)
    assert entry(passed, "embedded:tiny").reason.startswith(
        "system default, excused from scores (reasoning_strength 0.50 (catalog) is under the 0.70 that the role asks for); "
    )
    refused = choose(a_role(scores=scores, features=["supports_tools"]), [tiny], providers=[EMBEDDED], policy=policy)
    assert entry(refused, "embedded:tiny").reason == "supports_tools is false (reported), and the role asks for it"
