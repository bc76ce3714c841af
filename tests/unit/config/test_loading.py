"""What a valid configuration becomes."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.config.merge import Layer, Source
from gateway.domain.capabilities import CAPABILITY_FIELDS, Fact, ModelCapabilities, Origin
from gateway.domain.model import Lane, Provider, ProviderKind
from gateway.domain.role import Deadlines, Policy, Requirements, Role, Task
from unit.config.sandbox import SEED, Sandbox


@pytest.mark.parametrize(
    ("name", "layer"), [("models.yaml", Layer.MODELS_YAML), ("user_models.yaml", Layer.USER_MODELS)]
)
def test_the_seed_example_loads_as_it_stands(name: str, layer: Layer, sandbox: Sandbox) -> None:
    sandbox.write({name: SEED})
    configuration = sandbox.load()
    assert [warning for warning in configuration.warnings if warning.found != "no file of any layer"] == []
    assert configuration.roles == {
        "planner": Role(
            name="planner",
            preferred=("llama3.1:8b", "mistral:latest"),
            cloud_fallback=("openai:gpt-4o-mini",),
            requirements=Requirements(
                scores={"reasoning_strength": 0.7}, context_min_tokens=8000, memory_max_bytes=8_000_000_000
            ),
            weights={"reasoning_strength": 0.7, "speed": 0.3},
            deadlines=Deadlines(connect_s=2, load_s=300, first_token_s=60, gap_s=30, total_s=600),
            parameters={"temperature": 0.2},
        )
    }
    declared = configuration.declared["mistral:latest"]
    assert declared == ModelCapabilities(
        context_length=Fact(value=32000, origin=Origin.DECLARED),
        reasoning_strength=Fact(value=0.7, origin=Origin.DECLARED),
        coding_strength=Fact(value=0.6, origin=Origin.DECLARED),
        memory_gb_estimate=Fact(value=5.0, origin=Origin.DECLARED),
    )
    assert [provider.name for provider in configuration.providers] == [
        "ollama",
        "embedded",
        "lab",
        "openai",
        "anthropic",
    ]
    assert [(model.provider, model.name) for model in configuration.cloud_models] == [
        ("openai", "gpt-4o-mini"),
        ("anthropic", "claude-sonnet-4-5"),
    ]
    assert [(model.name, model.path) for model in configuration.embedded_models] == [("smollm2:135m", None)]
    assert configuration.policy == Policy(system_default=("mistral:latest",))
    assert (configuration.gateway.host, configuration.gateway.port) == ("127.0.0.1", 4000)
    assert set(configuration.provenance.values()) == {Source(layer=layer, file=str(sandbox.folder / name))}


def test_the_five_layers_lie_over_each_other_in_order(sandbox: Sandbox) -> None:
    every = {"a": 0, "b": 0, "c": 0, "d": 0}
    layers = {
        "models.yaml": (every, 4),
        "models.json": ({"a": 0, "b": 0, "c": 0}, 3),
        "user_models.yaml": ({"a": 0, "b": 0}, 2),
        "user_profiles/top.yml": ({"a": 0}, 1),
    }
    for name, (roles, port) in layers.items():
        inner = ", ".join(f'"{role}": {{"max_deployments": {port}}}' for role in roles)
        sandbox.write({name: f'{{"role_mappings": {{{inner}}}, "gateway": {{"port": {port}}}}}'})
    configuration = sandbox.load(profile="top")
    assert {name: role.max_deployments for name, role in configuration.roles.items()} == {
        "a": 1,
        "b": 2,
        "c": 3,
        "d": 4,
    }
    assert configuration.gateway.port == 1
    assert configuration.provenance["role_mappings.c.max_deployments"] == Source(
        layer=Layer.MODELS_JSON, file=str(sandbox.folder / "models.json")
    )


def test_variables_stand_over_files_and_flags_over_variables(sandbox: Sandbox) -> None:
    sandbox.write({"models.json": '{"gateway": {"host": "a", "port": 1, "hot_swap": false}}'})
    configuration = sandbox.load(
        flags={"port": 3, "embedded": None}, ROLEGATE_PORT="2", ROLEGATE_HOT_SWAP="on", ROLEGATE_EMBEDDED=" "
    )
    gateway = configuration.gateway
    assert (gateway.host, gateway.port, gateway.hot_swap, gateway.embedded) == ("a", 3, True, True)
    assert configuration.provenance["gateway.port"] == Source(layer=Layer.COMMAND_LINE, file="--port")
    assert configuration.provenance["gateway.hot_swap"] == Source(layer=Layer.ENVIRONMENT, file="ROLEGATE_HOT_SWAP")
    assert configuration.provenance["gateway.host"].layer is Layer.MODELS_JSON


def test_a_profile_lies_over_what_it_extends(sandbox: Sandbox) -> None:
    sandbox.write(
        {
            "models.json": '{"role_mappings": {"a": {"preferred": ["x"], "task": "chat"}, "b": {}}}',
            "user_profiles/grandparent.json": '{"role_mappings": {"a": {"preferred": ["g"], "max_deployments": 2}}}',
            "user_profiles/parent.json": '{"extends": "grandparent", "role_mappings": {"a": null, "c": {}}}',
            "user_profiles/child.json": '{"extends": "parent", "description": "d", "role_mappings": {"a": {"preferred": []}}}',
        }
    )
    configuration = sandbox.load(profile="child")
    assert configuration.profile == "child"
    assert configuration.roles == {"a": Role(name="a"), "b": Role(name="b"), "c": Role(name="c")}
    assert "extends" not in configuration.values


def test_null_removes_what_a_lower_layer_set(sandbox: Sandbox) -> None:
    sandbox.write(
        {
            "models.yaml": SEED,
            "user_models.yaml": "role_mappings: {planner: {requirements: null, parameters: {temperature: ~}}}\n"
            "local_providers: {lab: null}\nselection:\ngateway: {port: null}\n",
        }
    )
    configuration = sandbox.load()
    planner = configuration.roles["planner"]
    assert planner.requirements == Requirements()
    assert planner.parameters == {}
    assert "lab" not in [provider.name for provider in configuration.providers]
    assert configuration.policy == Policy()
    assert configuration.gateway.port == 4000


def test_the_profile_is_the_flags_then_the_variables_then_the_persisted_one(sandbox: Sandbox) -> None:
    sandbox.write({f"user_profiles/{name}.json": "{}" for name in ("one", "two", "three")})
    assert sandbox.load().profile is None
    sandbox.state.mkdir()
    (sandbox.state / "active_profile").write_text("three\n")
    assert sandbox.load().profile == "three"
    assert sandbox.load(ROLEGATE_PROFILE="two").profile == "two"
    assert sandbox.load(profile="one", ROLEGATE_PROFILE="two").profile == "one"
    assert sandbox.load(profile="", ROLEGATE_PROFILE="two").profile is None


def test_providers_carry_their_lane_place_and_key(sandbox: Sandbox) -> None:
    sandbox.write(
        {
            "models.yaml": """
local_providers:
  here: {kind: ollama}
  localhost: {kind: ollama, url: "http://localhost:11434/", lane: litellm, max_parallel: 2}
  tunnel: {kind: ollama, url: "http://127.0.0.1:11435", memory_gb: 64, vram_gb: 24.5}
  away: {kind: ollama, url: "http://[fe80::1]:11434"}
  loop: {kind: openai, url: "http://[::1]:8000/v1"}
  embedded: {kind: embedded}
cloud_providers:
  work-openai: {api_endpoint: "https://api.openai.com/v1/", litellm_provider: openai, lane: openai}
  groq: {}
"""
        }
    )
    configuration = sandbox.load(WORK_OPENAI_API_KEY="k", LOOP_API_KEY="k")
    by_name = {provider.name: provider for provider in configuration.providers}
    assert by_name["here"] == Provider(
        name="here",
        kind=ProviderKind.OLLAMA,
        lane=Lane.OLLAMA,
        url="http://127.0.0.1:11434",
        on_this_host=True,
        litellm_name="ollama_chat",
        key_variable="HERE_API_KEY",
    )
    assert by_name["localhost"].url == "http://localhost:11434"
    assert (by_name["localhost"].lane, by_name["localhost"].max_parallel) == (Lane.LITELLM, 2)
    assert not by_name["tunnel"].on_this_host
    assert (by_name["tunnel"].memory_bytes, by_name["tunnel"].vram_bytes) == (64_000_000_000, 24_500_000_000)
    assert not by_name["away"].on_this_host
    assert by_name["loop"].on_this_host
    assert by_name["loop"].has_key
    assert by_name["embedded"] == Provider(
        name="embedded", kind=ProviderKind.EMBEDDED, lane=Lane.OPENAI, on_this_host=True, litellm_name="openai"
    )
    assert by_name["work-openai"] == Provider(
        name="work-openai",
        kind=ProviderKind.CLOUD,
        lane=Lane.OPENAI,
        url="https://api.openai.com/v1",
        litellm_name="openai",
        key_variable="WORK_OPENAI_API_KEY",
        has_key=True,
    )
    assert (by_name["groq"].lane, by_name["groq"].litellm_name, by_name["groq"].has_key) == (
        Lane.LITELLM,
        "groq",
        False,
    )


def test_an_embedded_engine_without_a_list_has_the_model_that_can_be_pulled(sandbox: Sandbox) -> None:
    sandbox.write({"models.yaml": "local_providers: {embedded: {kind: embedded}}"})
    assert [model.name for model in sandbox.load().embedded_models] == ["smollm2:135m"]
    sandbox.write({"models.yaml": "local_providers: {embedded: {kind: embedded, models: []}}"})
    assert sandbox.load().embedded_models == ()


def test_a_relative_path_of_a_gguf_file_is_taken_from_the_configuration_folder(sandbox: Sandbox) -> None:
    sandbox.write(
        {
            "models.yaml": "local_providers: {embedded: {kind: embedded, models: "
            "[{name: a, path: models/a.gguf}, {name: b, path: /models/b.gguf}]}}"
        }
    )
    assert [model.path for model in sandbox.load().embedded_models] == [
        str(sandbox.folder / "models/a.gguf"),
        "/models/b.gguf",
    ]


def test_a_cloud_model_that_only_a_role_names_is_declared_by_that(sandbox: Sandbox) -> None:
    sandbox.write(
        {
            "models.yaml": """
role_mappings:
  a: {preferred: ["groq:one", "two"], cloud_fallback: ["openai:listed", "groq:one"]}
cloud_providers:
  openai: {models: {listed: {input_usd_per_mtok: 0.15, output_usd_per_mtok: 0.6, capabilities: {supports_tools: true}}}}
  groq: {}
selection: {system_default: "groq:three"}
"""
        }
    )
    models = sandbox.load().cloud_models
    assert [(model.provider, model.name) for model in models] == [
        ("openai", "listed"),
        ("groq", "one"),
        ("groq", "three"),
    ]
    assert (models[0].input_usd_per_mtok, models[0].output_usd_per_mtok) == (0.15, 0.6)
    assert models[0].capabilities.supports_tools == Fact(value=True, origin=Origin.DECLARED)
    assert models[1].input_usd_per_mtok is None


def test_a_role_carries_everything_it_says(sandbox: Sandbox) -> None:
    sandbox.write(
        {
            "models.yaml": """
role_mappings:
  e:
    task: embedding
    discover: false
    allow_cloud: false
    max_deployments: 3
    stream_failure: continue
    requirements: {supports_tools: true, supports_vision: false, tool_calling: 0.5, memory_gb_max: 0.5}
    parameters: {stop: ["a", "b"], logit_bias: {"50256": -100}}
"""
        }
    )
    role = sandbox.load().roles["e"]
    assert role.task is Task.EMBEDDING
    assert (role.discover, role.allow_cloud, role.max_deployments) == (False, False, 3)
    assert role.manner.stream_failure == "continue"
    assert role.requirements == Requirements(
        scores={"tool_calling": 0.5}, features=frozenset({"supports_tools"}), memory_max_bytes=500_000_000
    )
    assert role.parameters == {"stop": ["a", "b"], "logit_bias": {"50256": -100}}


def test_every_capability_can_be_declared(sandbox: Sandbox) -> None:
    examples: dict[type, object] = {}
    texts = {"quantization_level", "model_source"}
    for name in CAPABILITY_FIELDS:
        value = '"x"' if name in texts else "true" if name.startswith(("supports_", "requires_")) else "1"
        sandbox.write({"models.yaml": f"model_profiles: {{m: {{capabilities: {{{name}: {value}}}}}}}"})
        fact = getattr(sandbox.load().declared["m"], name)
        assert fact.origin is Origin.DECLARED
        examples.setdefault(type(fact.value), fact.value)
    assert examples == {int: 1, float: 1.0, str: "x", bool: True}


def test_a_schema_reference_and_a_version_are_allowed_and_not_merged(sandbox: Sandbox) -> None:
    sandbox.write({"models.json": '{"$schema": "schema/models.schema.json", "schema_version": 1}'})
    assert sandbox.load().values == {}


def test_yaml_anchors_and_merge_keys_are_understood(sandbox: Sandbox) -> None:
    sandbox.write(
        {
            "models.yaml": """
role_mappings:
  a: &base
    preferred: &models [x, y]
    requirements: {creativity: 0.5}
  b:
    <<: *base
    requirements: {creativity: 0.6}
  c: {preferred: *models, <<: [{max_deployments: 2}, *base]}
"""
        }
    )
    roles = sandbox.load().roles
    assert roles["b"].preferred == ("x", "y")
    assert roles["b"].requirements.scores == {"creativity": 0.6}
    assert (roles["c"].max_deployments, roles["c"].requirements.scores) == (2, {"creativity": 0.5})


def test_models_yml_alone_is_the_third_layer(sandbox: Sandbox) -> None:
    sandbox.write({"models.yml": "gateway: {port: 5}"})
    assert sandbox.load().provenance["gateway.port"].layer is Layer.MODELS_JSON


def test_a_configuration_cannot_be_altered(sandbox: Sandbox) -> None:
    sandbox.write({"models.yaml": SEED})
    configuration = sandbox.load()
    with pytest.raises(dataclasses.FrozenInstanceError):
        configuration.profile = "x"  # type: ignore[misc]  # that it is refused is the point
    for mapping in (configuration.roles, configuration.declared, configuration.values):
        with pytest.raises(TypeError):
            mapping["x"] = None  # type: ignore[index]  # that it is refused is the point


def test_what_every_command_imports_leaves_pydantic_out() -> None:
    code = (
        "import sys, gateway.config.environ, gateway.config.folders, gateway.config.profiles, gateway.config.settings; "
        "print('pydantic' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    assert told.stdout == "False\n"


def test_messages_name_files_as_the_folder_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sandbox = Sandbox(Path())
    sandbox.write({"models.json": "[]"})
    assert sandbox.problems() == ["config/models.json:1: found an empty list; allowed: a mapping of configuration keys"]
