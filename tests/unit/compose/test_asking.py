"""What a command makes of a running gateway's refusal."""

from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from gateway.compose.asking import GatewaySaid, ask_gateway
from gateway.errors import GatewayUnreachable
from gateway_process import free_port
from keeping_builders import served

PROBLEM = {
    "file": "models.json", "line": 3, "key_path": "gateway.port", "found": "0", "allowed": "a port", "nearest": "", "hint": "",
}  # fmt: skip
TOLD = {"message": "1 problem in the configuration:\n  … (mend it)", "code": "config_invalid"}


async def asked(error: object, *, status: int = 422) -> dict[str, Any]:
    """What comes of asking a gateway that answers so."""

    async def refuse(request: Request) -> JSONResponse:
        return JSONResponse({"error": error}, status_code=status)

    port = free_port()
    async with served(Starlette(routes=[Route("/admin/v1/swap", refuse, methods=["POST"])]), port=port):
        return await ask_gateway(f"http://127.0.0.1:{port}", "POST", "/admin/v1/swap")


async def test_problems_are_told_as_the_command_would_tell_its_own() -> None:
    with pytest.raises(GatewaySaid) as said:
        await asked({**TOLD, "problems": [PROBLEM]})
    error = said.value
    assert (error.code, error.http_status, error.exit_code) == ("config_invalid", 422, 3)
    assert error.message == ("1 problem in the configuration:\n  models.json:3: gateway.port: found 0; allowed: a port")
    assert error.hint == "mend the lines named above and run `rolegate config validate`"
    assert [one.key_path for one in error.problems] == ["gateway.port"]


@pytest.mark.parametrize("problems", [None, {}, "many", [3], [{**PROBLEM, "since": "tomorrow"}], [{"file": "x"}]])
async def test_problems_of_another_shape_are_left_to_the_words(problems: object) -> None:
    with pytest.raises(GatewaySaid) as said:
        await asked({**TOLD, "problems": problems})
    assert (said.value.message, said.value.problems) == (TOLD["message"], ())


@pytest.mark.parametrize("error", [None, "no", {"code": "config_invalid"}])
async def test_who_answers_otherwise_is_no_gateway_of_ours(error: object) -> None:
    with pytest.raises(GatewayUnreachable, match="what listens there is not this gateway"):
        await asked(error)
