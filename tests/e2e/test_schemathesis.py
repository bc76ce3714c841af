"""A gateway that is shut to strangers, asked by schemathesis whatever its routes are described to take, and what they are not."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import httpx
import pytest

from data_plane_openapi import document
from gateway_process import GatewayProcess
from schemathesis_builders import (
    CHATTING,
    EMBEDDING,
    FOR_STRANGERS,
    KEYS,
    a_shut_gateway,
    admin_document,
    run_schemathesis,
)

SHORT: Final = ("--max-examples", "6", "--generation-deterministic")
LONG: Final = ("--max-examples", "500", "--generation-database", "none")
SHORT_OF_STRANGERS: Final = ("--max-examples", "3", "--generation-deterministic", "--mode", "positive")
LONG_OF_STRANGERS: Final = ("--max-examples", "50", "--generation-database", "none")

both_forms = pytest.mark.parametrize("form", [SHORT, pytest.param(LONG, marks=pytest.mark.soak)], ids=["short", "long"])
both_forms_of_strangers = pytest.mark.parametrize(
    "form", [SHORT_OF_STRANGERS, pytest.param(LONG_OF_STRANGERS, marks=pytest.mark.soak)], ids=["short", "long"]
)
REMOVALS: Final = {"DELETE /admin/v1/models/{ref}", "DELETE /admin/v1/profiles/{name}"}
"""What they are to remove may be gone, or serve: luck decides."""
DATA_PLANE: Final = document(roles=CHATTING, embedders=EMBEDDING)


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[GatewayProcess]:
    async with a_shut_gateway(tmp_path) as live:
        yield live
    assert "unexpected error" not in live.log()


@both_forms
async def test_the_admin_routes_answer_as_they_are_described_and_none_of_them_fails(
    form: tuple[str, ...], gateway: GatewayProcess, tmp_path: Path
) -> None:
    async with httpx.AsyncClient(base_url=gateway.url, headers={"x-api-key": KEYS["admin"]}, trust_env=False) as client:
        swap = await client.post("/admin/v1/swap", json={"profile": "coding"})
        assert swap.json()["swapped"]  # so that there is something to go back to
    described = await admin_document(gateway)
    ran = await run_schemathesis(described, *form, gateway=gateway, key=KEYS["admin"], folder=tmp_path)
    assert (ran.code, ran.in_vain - REMOVALS) == (0, set()), ran.said


@both_forms_of_strangers
async def test_without_an_admin_key_there_is_nothing_to_be_had_from_the_admin_routes(
    form: tuple[str, ...], gateway: GatewayProcess, tmp_path: Path
) -> None:
    described = await admin_document(gateway)
    for visitor, status in (("nobody", 401), ("wrong", 401), ("client", 403)):
        ran = await run_schemathesis(
            described, *form, *FOR_STRANGERS, gateway=gateway, key=KEYS[visitor], folder=tmp_path
        )
        assert (ran.code, ran.statuses) == (0, {status}), f"{visitor}: {ran.said}"


@both_forms
async def test_the_data_plane_answers_as_it_is_described_and_never_fails(
    form: tuple[str, ...], gateway: GatewayProcess, tmp_path: Path
) -> None:
    ran = await run_schemathesis(DATA_PLANE, *form, gateway=gateway, key=KEYS["client"], folder=tmp_path)
    assert (ran.code, ran.in_vain) == (0, set()), ran.said


@both_forms_of_strangers
async def test_without_a_client_key_there_is_nothing_to_be_had_from_the_data_plane(
    form: tuple[str, ...], gateway: GatewayProcess, tmp_path: Path
) -> None:
    for visitor, status in (("nobody", 401), ("wrong", 401), ("admin", 403)):
        ran = await run_schemathesis(
            DATA_PLANE, *form, *FOR_STRANGERS, gateway=gateway, key=KEYS[visitor], folder=tmp_path
        )
        assert (ran.code, ran.statuses) == (0, {status}), f"{visitor}: {ran.said}"
