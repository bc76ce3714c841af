"""The admin routes of roles: what the operator's own layer says of each, with versions, and what the live gateway makes of it."""

import json
from typing import Any

import pytest

from admin_builders import Gateway
from gateway.files.etag import ABSENT

PLANNER = "/admin/v1/roles/planner"
MISTRAL = {"preferred": ["mistral:latest"]}


def stored(gateway: Gateway) -> Any:
    return json.loads((gateway.folder / "user_models.json").read_text(encoding="utf-8"))


async def test_the_list_says_who_speaks_of_each_role(gateway: Gateway) -> None:
    answer = await gateway.client.get("/admin/v1/roles")
    assert answer.headers["etag"] == f'"{ABSENT}"'
    assert answer.json() == {
        "file": str(gateway.folder / "user_models.json"),
        "roles": [{"role": "planner", "own": None, "profiles": ["fast"]}],
    }


async def test_a_role_is_written_with_the_version_that_was_read(gateway: Gateway) -> None:
    read = await gateway.client.get(PLANNER)
    assert (read.status_code, read.json()) == (200, {})
    version = {"if-match": read.headers["etag"]}
    answer = await gateway.client.put(PLANNER, json=MISTRAL, headers=version)
    told = answer.json()
    assert (answer.status_code, told["role"], told["created"], told["profiles"]) == (200, "planner", False, ["fast"])
    assert (told["swap"]["changed_roles"], told["swap_error"]) == (["planner"], "")
    assert gateway.switchboard.live.cause == "role planner was written over HTTP"
    assert answer.headers["etag"] == f'"{told["etag"]}"'
    assert stored(gateway) == {"role_mappings": {"planner": MISTRAL}}
    assert (await gateway.client.get(PLANNER)).json() == MISTRAL
    status, error = await gateway.error("PUT", PLANNER, json={}, headers=version)
    assert (status, error["code"]) == (412, "edit_conflict")
    assert error["message"].endswith(
        "(nothing was written: GET the role, make the change to what it says now, and send its ETag as If-Match)"
    )


async def test_a_put_without_a_version_creates_a_role_and_never_replaces_one(gateway: Gateway) -> None:
    answer = await gateway.client.put("/admin/v1/roles/critic", json=MISTRAL)
    assert (answer.status_code, answer.json()["created"]) == (201, True)
    assert "critic" in gateway.switchboard.live.roles
    for headers in ({}, {"if-none-match": "*"}):
        status, error = await gateway.error("PUT", PLANNER, json={}, headers=headers)
        assert (status, error["code"]) == (412, "edit_conflict")
        assert error["message"].startswith('the role "planner" is there already (nothing was written: ')


async def test_single_values_of_a_role_are_changed(gateway: Gateway) -> None:
    changes = {"set": {"preferred[0]": "mistral:latest", "requirements.memory_gb_max": 6}}
    assert (await gateway.client.patch(PLANNER, json=changes)).status_code == 200
    both = ["mistral:latest", "mistral:latest"]
    assert stored(gateway)["role_mappings"]["planner"] == {"preferred": both, "requirements": {"memory_gb_max": 6}}
    answer = await gateway.client.patch(PLANNER, json={"unset": ["requirements.memory_gb_max"]})
    assert answer.json()["etag"] == answer.headers["etag"].strip('"')
    assert stored(gateway)["role_mappings"]["planner"] == {"preferred": both}
    status, error = await gateway.error("PATCH", PLANNER, json=changes, headers={"if-match": '"old"'})
    assert (status, error["code"]) == (412, "edit_conflict")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, 'nothing to change (send {"set": {"selection.memory_margin": 0.2}, "unset": []})'),
        ({"set": []}, "set: found an empty list; allowed: an object from set paths to values"),
        ({"unset": [3]}, "unset: found a list; allowed: a list of set paths"),
        ({"unset": ["a..b"]}, '"a..b" is not a set path: character 3 does not fit'),
        ({"put": {}}, 'the field "put" is not known here; allowed: set, unset'),
    ],
)
async def test_changes_that_are_none_are_refused(body: object, message: str, gateway: Gateway) -> None:
    status, error = await gateway.error("PATCH", PLANNER, json=body)
    assert (status, error["message"][: len(message)]) == (400, message)
    assert not (gateway.folder / "user_models.json").exists()


async def test_a_key_with_an_equals_sign_is_one_key(gateway: Gateway) -> None:
    headers = {"set": {"parameters.extra_headers.x=y": "1"}}
    assert (await gateway.client.patch(PLANNER, json=headers)).status_code == 200
    assert stored(gateway)["role_mappings"]["planner"]["parameters"] == {"extra_headers": {"x=y": "1"}}


async def test_a_role_is_removed_and_comes_back_new(gateway: Gateway) -> None:
    answer = await gateway.client.delete(PLANNER)
    told = answer.json()
    assert (told["role"], told["removed"], told["swap"]["changed_roles"]) == ("planner", True, ["planner"])
    assert stored(gateway) == {"role_mappings": {"planner": None}}
    for method in ("GET", "PATCH", "DELETE"):
        body = {"json": {"set": {"discover": True}}} if method == "PATCH" else {}
        status, error = await gateway.error(method, PLANNER, **body)
        assert (status, error["code"]) == (404, "not_found")
    assert (await gateway.client.put(PLANNER, json=MISTRAL)).status_code == 201


async def test_what_would_not_be_sound_is_not_stored(gateway: Gateway) -> None:
    status, error = await gateway.error("PUT", "/admin/v1/roles/new", json={"preferd": []})
    assert (status, error["code"]) == (422, "config_invalid")
    assert [one["key_path"] for one in error["problems"]] == ["role_mappings.new.preferd"]
    assert not (gateway.folder / "user_models.json").exists()


async def test_secrets_of_a_role_are_masked_and_kept(gateway: Gateway) -> None:
    secret = {"parameters": {"extra_headers": {"Authorization": "Bearer hunter2"}}}
    written = await gateway.client.put(PLANNER, json=secret, headers={"if-match": "*"})
    read = await gateway.client.get(PLANNER)
    assert "hunter2" not in read.text + (await gateway.client.get("/admin/v1/roles")).text
    again = await gateway.client.put(
        PLANNER, json={**read.json(), "discover": True}, headers={"if-match": written.headers["etag"]}
    )
    assert again.status_code == 200
    assert stored(gateway)["role_mappings"]["planner"] == {**secret, "discover": True}


async def test_with_hot_swap_off_a_role_is_stored_and_nothing_moves(still: Gateway) -> None:
    told = (await still.client.patch(PLANNER, json={"set": {"preferred": ["mistral:latest"]}})).json()
    assert (told["hot_swap"], told["swap"], told["swap_error"]) == (False, None, "")
    assert still.switchboard.live.number == 1


async def test_a_key_that_stands_twice_is_refused(gateway: Gateway) -> None:
    body = b'{"requirements": {\n"memory_gb_max": 6, "memory_gb_max": 8}}'
    status, error = await gateway.error("PUT", PLANNER, content=body, headers={"if-match": "*"})
    assert (status, error["param"]) == (400, "requirements.memory_gb_max")
    assert error["message"] == (
        "requirements.memory_gb_max: found the same key again (first on line 2); allowed: each key once"
    )
