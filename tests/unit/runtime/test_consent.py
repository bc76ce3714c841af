"""Consent to the cloud: what a generation lets out, and what it says of what it kept back."""

from dataclasses import replace
from pathlib import Path

import pytest

from builders import a_cloud, a_model, a_role
from gateway.domain.model import ProviderKind
from gateway.domain.role import Policy, Role
from gateway.errors import ByRoleOnly, NoModelForRole
from gateway.runtime.generation import Generation
from live_builders import SteeredSource, a_configuration, a_controller

STUB = "ollama:gpt-oss:120b-cloud"


async def live(folder: Path, *roles: Role, policy: Policy | None = None, keyed: bool = True) -> Generation:
    sources = (
        SteeredSource(a_model("ollama:a:1b"), a_model(STUB, cloud=True)),
        SteeredSource(a_model("openai:m", kind=ProviderKind.CLOUD), provider=a_cloud(has_key=keyed)),
    )
    configuration = replace(a_configuration(folder, *roles), policy=policy or Policy())
    return await a_controller(configuration, sources).start()


def served(generation: Generation, role: str) -> list[str]:
    return [str(one.ref) for one in generation.roles[role].deployments]


@pytest.mark.parametrize(
    ("allowed", "policy", "keyed", "reason"),
    [
        (True, Policy(cloud_fallback=False), True, "selection.cloud_fallback is false"),
        (False, Policy(), True, "the role's allow_cloud is false"),
        (
            True,
            Policy(),
            False,
            "no API key is known for openai (`rolegate providers set-key openai`, or OPENAI_API_KEY)",
        ),
    ],
    ids=["profile", "role", "key"],
)
async def test_what_was_kept_back_is_known_to_the_route(
    allowed: bool, policy: Policy, keyed: bool, reason: str, tmp_path: Path
) -> None:
    planner = a_role(preferred=["a:1b"], cloud=["openai:m"], allow_cloud=allowed)
    generation = await live(tmp_path, planner, policy=policy, keyed=keyed)
    assert served(generation, "planner") == ["ollama:a:1b"]
    assert generation.route("planner").withheld() == (("openai:m", reason),)


async def test_a_role_that_names_no_cloud_model_has_none_kept_back(tmp_path: Path) -> None:
    generation = await live(tmp_path, a_role(preferred=["a:1b"]), policy=Policy(cloud_fallback=False))
    assert generation.route("planner").withheld() == ()


async def test_what_was_kept_back_is_told_however_many_others_were_ruled_out_before_it(tmp_path: Path) -> None:
    absent = [f"absent:{number}b" for number in range(7)]
    role = a_role(preferred=absent, cloud=["openai:m"], discover=False)
    generation = await live(tmp_path, role, keyed=False)
    with pytest.raises(NoModelForRole) as refused:
        generation.route("planner")
    assert (
        "; openai:m: no API key is known for openai (`rolegate providers set-key openai`, or OPENAI_API_KEY); and "
        in refused.value.message
    )
    assert "absent:5b" not in refused.value.message


async def test_where_the_profile_says_local_no_role_and_no_last_resort_goes_out(tmp_path: Path) -> None:
    policy = Policy(cloud_fallback=False, system_default=("openai:m",))
    planner = a_role(preferred=[STUB, "a:1b"], cloud=["openai:m", STUB], allow_cloud=True)
    generation = await live(tmp_path, planner, policy=policy)
    assert served(generation, "planner") == ["ollama:a:1b"]


@pytest.mark.parametrize("name", [STUB, STUB.partition(":")[2], "openai:m"])
async def test_a_caller_does_not_consent_for_the_operator_by_naming_a_cloud_model(name: str, tmp_path: Path) -> None:
    generation = await live(tmp_path, a_role(preferred=["a:1b"]))
    assert generation.references == ("ollama:a:1b",)
    assert generation.canonical(name) is None
    with pytest.raises(ByRoleOnly, match="models in the cloud answer only for roles that name them") as refused:
        generation.route(name)
    assert refused.value.hint == "no role has it now"
