"""Whom the gateway asks for its first completion: only models whose answer costs nothing."""

from pathlib import Path

import pytest

from builders import a_model, a_role
from gateway.compose.serving import _curl, _free_models
from live_builders import SteeredSource, a_live_gateway
from plans import a_deployment, a_role_plan


@pytest.mark.parametrize(("cloud", "free"), [(False, {"ollama:x:1b"}), (True, set())])
async def test_a_model_in_the_cloud_is_not_greeted_however_loaded_its_host_says_it_is(
    cloud: bool, free: set[str], tmp_path: Path
) -> None:
    role = a_role(preferred=["ollama:x:1b"], discover=False)
    planned = a_model("ollama:x:1b", cloud=cloud)
    async with a_live_gateway(tmp_path, role, sources=[SteeredSource(planned)]) as live:
        (deployment,) = live.switchboard.live.roles["planner"].deployments
    loaded = a_model("ollama:x:1b", cloud=cloud, resident_context=deployment.context_tokens)
    async with a_live_gateway(tmp_path, role, sources=[SteeredSource(loaded)]) as live:
        assert {str(one.ref) for one in _free_models(live.switchboard.live)} == free


@pytest.mark.parametrize(
    ("url", "keyed", "head"),
    [
        ("http://127.0.0.1:4000", False, "curl http://127.0.0.1:4000/v1/chat/completions -H 'content-type"),
        (
            "https://127.0.0.1:4000",
            True,
            'curl -k https://127.0.0.1:4000/v1/chat/completions -H "authorization: Bearer $ROLEGATE_CLIENT_KEY" -H',
        ),
    ],
)
def test_the_command_to_try_works_with_a_certificate_that_does_not_name_this_machine(
    url: str, keyed: bool, head: str
) -> None:
    planner = a_role_plan("planner", a_deployment("ollama:x:1b"))
    assert _curl(url, roles={"planner": planner}, keyed=keyed).startswith(head)
