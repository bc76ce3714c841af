"""From plans to router configurations."""

from typing import Any

import pytest
import yaml

from builders import a_provider
from gateway.domain.model import Lane, Provider, ProviderKind
from gateway.domain.plan import Plan
from gateway.domain.role import Deadlines, Task
from gateway.file_errors import ConfigInvalid
from gateway.rendering.output import to_yaml
from gateway.rendering.render import render, router_arguments
from gateway.rendering.templates import Templates
from plans import ROUTER_TEMPLATES, a_cloud_deployment, a_cloud_provider, a_deployment, a_plan, a_role_plan, by_name

PROVIDERS = by_name(
    [
        a_provider("ollama", url="http://127.0.0.1:11434", max_parallel=2),
        a_provider("lab", kind=ProviderKind.OPENAI, url="http://127.0.0.1:8000/v1"),
        a_provider("embedded", kind=ProviderKind.EMBEDDED, url=None),
        a_cloud_provider("openai", url="https://api.openai.com/v1"),
        a_cloud_provider("anthropic"),
    ]
)


def rendered(plan: Plan, *, providers: dict[str, Provider] = PROVIDERS) -> dict[str, Any]:
    return render(
        plan=plan,
        providers=providers,
        templates=Templates.load(ROUTER_TEMPLATES),
        gateway_url="http://127.0.0.1:4000/",
    )


def groups(config: dict[str, Any]) -> list[tuple[str, str, int]]:
    return [
        (entry["model_name"], entry["litellm_params"]["model"], entry["litellm_params"]["order"])
        for entry in config["model_list"]
    ]


def test_local_deployments_are_one_group_in_order_and_cloud_stands_behind_as_its_fallback() -> None:
    role = a_role_plan(
        "planner",
        a_cloud_deployment("openai:gpt-4o-mini", order=2),
        a_deployment("ollama:mistral:latest", order=3),
        a_deployment("ollama:llama3.1:8b", order=1),
        a_cloud_deployment("anthropic:claude-sonnet-4-5", order=4),
    )
    config = rendered(a_plan(role))
    assert groups(config) == [
        ("planner", "ollama_chat/llama3.1:8b", 1),
        ("planner", "ollama_chat/mistral:latest", 2),
        ("planner.cloud", "openai/gpt-4o-mini", 1),
        ("planner.cloud", "anthropic/claude-sonnet-4-5", 2),
    ]
    assert config["router_settings"]["fallbacks"] == [{"planner": ["planner.cloud"]}]
    assert config["router_settings"]["context_window_fallbacks"] == [{"planner": ["planner.cloud"]}]


def test_a_role_with_cloud_only_is_one_group_under_its_own_name() -> None:
    config = rendered(a_plan(a_role_plan("critic", a_cloud_deployment("openai:gpt-4o-mini"))))
    assert groups(config) == [("critic", "openai/gpt-4o-mini", 1)]
    assert config["router_settings"]["fallbacks"] == []


def test_a_role_without_deployments_is_left_out() -> None:
    assert rendered(a_plan(a_role_plan("idle")))["model_list"] == []


def test_an_ollama_cloud_stub_stands_with_the_cloud() -> None:
    stub = a_deployment("ollama:gpt-oss:120b-cloud", order=2, cloud=True, context=None)
    config = rendered(a_plan(a_role_plan("planner", a_deployment("ollama:mistral:latest"), stub)))
    assert groups(config)[1] == ("planner.cloud", "ollama_chat/gpt-oss:120b-cloud", 1)


def test_an_ollama_deployment_carries_its_load_profile_and_is_never_truncated() -> None:
    role = a_role_plan("planner", a_deployment("ollama:mistral:latest", context=16384), parameters={"temperature": 0.2})
    (entry,) = rendered(a_plan(role))["model_list"]
    assert entry == {
        "model_name": "planner",
        "litellm_params": {
            "temperature": 0.2,
            "model": "ollama_chat/mistral:latest",
            "api_base": "http://127.0.0.1:11434",
            "num_ctx": 16384,
            "extra_body": {"truncate": False},
            "drop_params": True,
            "max_retries": 0,
            "timeout": 600,
            "stream_timeout": 600,
            "max_parallel_requests": 2,
            "order": 1,
        },
        "model_info": {
            "id": "rolegate/planner/ollama:mistral:latest",
            "mode": "chat",
            "max_input_tokens": 16384,
            "rolegate": {
                "role": "planner",
                "model": "ollama:mistral:latest",
                "provider": "ollama",
                "lane": "ollama",
            },
        },
    }


def test_an_embedding_role_uses_the_embedding_api_of_ollama() -> None:
    role = a_role_plan("embedder", a_deployment("ollama:nomic-embed-text:latest", context=2048), task=Task.EMBEDDING)
    (entry,) = rendered(a_plan(role))["model_list"]
    assert entry["litellm_params"]["model"] == "ollama/nomic-embed-text:latest"
    assert entry["litellm_params"]["truncate"] is False
    assert entry["model_info"]["mode"] == "embedding"


def test_the_embedded_engine_is_reached_through_the_gateway_by_reference() -> None:
    role = a_role_plan("planner", a_deployment("embedded:smollm2:135m", lane=Lane.OPENAI))
    (entry,) = rendered(a_plan(role))["model_list"]
    assert entry["litellm_params"]["model"] == "openai/embedded:smollm2:135m"
    assert entry["litellm_params"]["api_base"] == "http://127.0.0.1:4000/v1"


def test_a_server_without_a_key_gets_one_that_means_none() -> None:
    (entry,) = rendered(a_plan(a_role_plan("planner", a_deployment("lab:qwen", lane=Lane.OPENAI))))["model_list"]
    assert entry["litellm_params"]["api_key"] == "none"


def test_keys_are_references_and_an_address_is_written_only_where_one_is_configured() -> None:
    role = a_role_plan(
        "critic", a_cloud_deployment("openai:gpt-4o-mini"), a_cloud_deployment("anthropic:claude-sonnet-4-5", order=2)
    )
    first, second = (entry["litellm_params"] for entry in rendered(a_plan(role))["model_list"])
    assert (first["api_key"], first["api_base"]) == ("os.environ/OPENAI_API_KEY", "https://api.openai.com/v1")
    assert (second["api_key"], "api_base" in second) == ("os.environ/ANTHROPIC_API_KEY", False)


def test_the_deadlines_of_a_role_replace_the_defaults_of_the_templates() -> None:
    deadlines = Deadlines(total_s=120, gap_s=20)
    role = a_role_plan(
        "planner",
        a_deployment("ollama:mistral:latest"),
        a_cloud_deployment("openai:gpt-4o-mini", order=2),
        deadlines=deadlines,
    )
    local, cloud = (entry["litellm_params"] for entry in rendered(a_plan(role))["model_list"])
    assert (local["timeout"], local["stream_timeout"]) == (120, 120)
    assert (cloud["timeout"], cloud["stream_timeout"]) == (120, 20)


def test_request_defaults_never_replace_what_a_deployment_needs() -> None:
    defaults = {"model": "other", "order": 9, "api_base": "http://elsewhere", "stop": ("a", "b")}
    role = a_role_plan("planner", a_deployment("ollama:mistral:latest"), parameters=defaults)
    (entry,) = rendered(a_plan(role))["model_list"]
    parameters = entry["litellm_params"]
    assert parameters["model"] == "ollama_chat/mistral:latest"
    assert parameters["order"] == 1
    assert parameters["api_base"] == "http://127.0.0.1:11434"
    assert parameters["stop"] == ["a", "b"]


def test_a_role_says_nothing_to_litellm_but_what_a_request_may() -> None:
    said: dict[str, Any] = {"temperature": 0.2}
    more = {"api_base": "http://elsewhere", "custom_llm_provider": "openai", "extra_headers": {"x": "1"}, "timeout": 1}
    claude = a_cloud_deployment("anthropic:claude-sonnet-4-5")
    plain, odd = (rendered(a_plan(a_role_plan("critic", claude, parameters=one))) for one in (said, {**more, **said}))
    assert odd == plain
    assert plain["model_list"][0]["litellm_params"]["temperature"] == 0.2


def test_a_role_named_like_the_cloud_group_of_another_is_refused() -> None:
    planner = a_role_plan(
        "planner", a_deployment("ollama:mistral:latest"), a_cloud_deployment("openai:gpt-4o-mini", order=2)
    )
    with pytest.raises(ConfigInvalid) as caught:
        rendered(a_plan(planner, a_role_plan("planner.cloud")))
    assert str(caught.value.problems[0]) == (
        'role_mappings: role_mappings["planner.cloud"]: found a role named "planner.cloud"; allowed: any other name: the '
        'cloud models of "planner" are rendered as the group "planner.cloud"'
    )


def test_the_same_plan_gives_the_same_text_whatever_the_order_of_its_roles() -> None:
    one = a_role_plan("critic", a_deployment("ollama:mistral:latest"))
    two = a_role_plan("planner", a_deployment("ollama:llama3.1:8b"))
    assert to_yaml(rendered(a_plan(one, two))) == to_yaml(rendered(a_plan(two, one)))


def test_the_text_reads_back_as_the_same_configuration() -> None:
    config = rendered(a_plan(a_role_plan("planner", a_deployment("ollama:mistral:latest"))))
    assert yaml.safe_load(to_yaml(config)) == config


def test_an_id_is_plain_ascii_whatever_a_model_is_called() -> None:
    (entry,) = rendered(a_plan(a_role_plan("planner", a_deployment("ollama:größe latest"))))["model_list"]
    assert entry["model_info"]["id"] == "rolegate/planner/ollama:gr%C3%B6%C3%9Fe%20latest"


def test_router_arguments_are_the_model_list_and_the_settings_and_share_nothing() -> None:
    config = rendered(a_plan(a_role_plan("planner", a_deployment("ollama:mistral:latest"))))
    arguments = router_arguments(config)
    assert arguments == {"model_list": config["model_list"], **config["router_settings"]}
    assert arguments["model_list"] is not config["model_list"]
