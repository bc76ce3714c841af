"""The configuration that is shipped, and JSON Schema over it and over wrong ones."""

import json
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # it has no types of its own

from gateway.config.environ import Environment
from gateway.config.folders import packaged
from gateway.config.json_schema import json_schemas
from gateway.config.load import load
from gateway.config.settings import Configuration
from gateway.domain.role import Role, Task
from unit.config.sandbox import SEED
from unit.config.test_wrong_values import CASES

PROFILES = ("coding", "research", "writing")
FILES = ("models.json", *(f"user_profiles/{name}.json" for name in PROFILES))


def shipped(profile: str | None, tmp_path: Path) -> Configuration:
    environment = Environment(variables={"HOME": str(tmp_path)})
    return load(folder=packaged("config"), state_folder=tmp_path, environment=environment, profile=profile)


def validator(kind: str) -> Draft202012Validator:
    schema = json.loads(json_schemas()[f"{kind}.schema.json"])
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


@pytest.mark.parametrize("profile", [None, *PROFILES])
def test_the_shipped_configuration_loads_without_a_warning(profile: str | None, tmp_path: Path) -> None:
    configuration = shipped(profile, tmp_path)
    assert configuration.warnings == ()
    assert set(configuration.roles) == {"planner", "critic", "executor", "embedder"}


@pytest.mark.parametrize("profile", [None, *PROFILES])
def test_the_embedded_model_can_be_the_last_resort_of_every_chat_role(profile: str | None, tmp_path: Path) -> None:
    configuration = shipped(profile, tmp_path)
    assert configuration.policy.system_default == ("embedded:smollm2:135m",)
    for role in configuration.roles.values():
        assert role.requirements.context_need_tokens <= 8192
        assert role.requirements.features == frozenset()


def test_embeddings_do_not_wander_between_vector_spaces(tmp_path: Path) -> None:
    embedder = shipped(None, tmp_path).roles["embedder"]
    assert embedder.task is Task.EMBEDDING
    assert not embedder.discover
    assert embedder.cloud_fallback == ()


def test_the_profiles_differ_from_the_base_and_from_each_other(tmp_path: Path) -> None:
    seen: list[Role] = []
    for profile in (None, *PROFILES):
        roles = shipped(profile, tmp_path).roles
        for name in ("planner", "executor"):
            assert roles[name] not in seen
            seen.append(roles[name])


def test_nothing_leaves_the_machine_while_writing(tmp_path: Path) -> None:
    assert not shipped("writing", tmp_path).policy.cloud_fallback
    assert shipped("coding", tmp_path).policy.cloud_fallback


@pytest.mark.parametrize("name", FILES)
def test_the_shipped_files_name_a_schema_that_accepts_them(name: str) -> None:
    path = packaged("config") / name
    content = json.loads(path.read_text())
    reference = path.parent / content["$schema"]
    assert reference.is_file()
    Draft202012Validator(json.loads(reference.read_text())).validate(content)


@pytest.mark.parametrize("kind", ["models", "user_models", "profile"])
def test_every_schema_accepts_the_seed_example(kind: str) -> None:
    validator(kind).validate(yaml.safe_load(SEED))


def test_a_schema_allows_null_wherever_a_layer_may_remove() -> None:
    validator("user_models").validate(
        {"role_mappings": {"planner": None}, "local_providers": {"lab": {"url": None}}, "selection": None}
    )


def test_a_lane_is_judged_only_beside_the_kind_that_it_belongs_to() -> None:
    lab = {"lane": "openai"}
    assert validator("user_models").is_valid({"local_providers": {"lab": lab}})
    assert validator("user_models").is_valid({"local_providers": {"lab": {"kind": "ollama", "lane": None}}})
    assert not validator("user_models").is_valid({"local_providers": {"lab": {"kind": "ollama", **lab}}})


def test_only_a_profile_extends() -> None:
    assert validator("profile").is_valid({"extends": "coding", "description": "x"})
    assert not validator("models").is_valid({"extends": "coding"})


# Wrong in a way that JSON Schema cannot say, or only across keys and files.
BEYOND_SCHEMA = {
    "a URL with a password, which is not repeated",
    "a URL with an impossible port",
    "a cloud on one's own network",
    "a cloud over plain http",
    "a fallback to an unknown provider",
    "a fallback without a provider",
    "a fallback where no provider is",
    "a provider without a kind",
    "a role named like the cloud group of another",
    "a server without a URL",
    "an address for the embedded engine",
    "cool over hot",
    "hot under the default for cool",
    "models of a server that lists its own",
    "one name for two providers",
    "the openai lane without an address",
    "two embedded engines",
    "weights of nothing",
    "yes for true",  # true by the rules that this test's own YAML reader follows
}


@pytest.mark.parametrize("case", sorted(CASES))
def test_the_schema_refuses_what_loading_refuses(case: str) -> None:
    accepted = validator("models").is_valid(yaml.safe_load(CASES[case][0]))
    assert accepted == (case in BEYOND_SCHEMA)
