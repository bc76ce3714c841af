"""The admin routes of profiles: versions, preconditions, secrets, and what the live gateway makes of an edit."""

import asyncio
import json
from typing import Any

import pytest

from admin_builders import MISTRAL, Gateway, write_profile
from gateway.api.admin_edits import BODY_LIMIT_BYTES, Precondition
from gateway.config.edition import locked
from gateway.errors import BadRequest
from older_format import NEW_PROFILE, OLD_PROFILE, know_an_older_format

FAST = "/admin/v1/profiles/fast"
LLAMA = {"role_mappings": {"planner": {"preferred": ["llama3.1:8b"]}}}
SECRET = {"role_mappings": {"planner": {"parameters": {"extra_headers": {"Authorization": "Bearer hunter2"}}}}}


def stored(gateway: Gateway, name: str) -> Any:
    return json.loads((gateway.folder / "user_profiles" / f"{name}.json").read_text(encoding="utf-8"))


async def test_the_list_says_which_profile_serves(gateway: Gateway) -> None:
    write_profile(gateway.folder, "faster", {"extends": "fast", "description": "as fast as can be"})
    await gateway.client.post("/admin/v1/swap", json={"profile": "faster"})
    told = (await gateway.client.get("/admin/v1/profiles")).json()
    assert told["active"] == "faster"
    assert told["profiles"][1] == {
        "name": "faster",
        "active": True,
        "extends": "fast",
        "description": "as fast as can be",
        "file": str(gateway.folder / "user_profiles" / "faster.json"),
        "problems": [],
    }


async def test_a_profile_is_read_as_it_may_be_written_again(gateway: Gateway) -> None:
    answer = await gateway.client.get(FAST)
    assert (answer.status_code, answer.json()) == (200, MISTRAL)
    again = await gateway.client.put(FAST, json=answer.json(), headers={"if-match": answer.headers["etag"]})
    assert (again.status_code, again.headers["etag"]) == (200, answer.headers["etag"])
    assert (again.json()["created"], again.json()["swap"]["swapped"]) == (False, False)


async def test_an_unknown_profile_is_answered_with_the_nearest(gateway: Gateway) -> None:
    status, error = await gateway.error("GET", "/admin/v1/profiles/fats")
    assert (status, error["code"]) == (404, "not_found")
    assert error["message"] == 'there is no profile "fats"; known: fast (did you mean "fast"?)'


async def test_a_profile_that_cannot_be_read_is_refused_with_its_problems(gateway: Gateway) -> None:
    (gateway.folder / "user_profiles" / "fast.json").write_text("{", encoding="utf-8")
    status, error = await gateway.error("GET", FAST)
    assert (status, error["code"], len(error["problems"])) == (422, "config_invalid", 1)
    assert error["problems"][0]["line"] == 1


async def test_nobody_has_a_providers_key_sent_elsewhere_over_http(gateway: Gateway) -> None:
    thief = {"cloud_providers": {"openai": {"api_endpoint": "http://127.0.0.1:9/v1"}}}
    change = {"set": {"cloud_providers.openai.api_endpoint": "http://127.0.0.1:9/v1"}}
    for method, path, body in (("PUT", "/admin/v1/profiles/theirs", thief), ("PATCH", FAST, change)):
        status, error = await gateway.error(method, path, json=body)
        assert (status, error["code"]) == (422, "config_invalid")
        (problem,) = error["problems"]
        assert problem["key_path"] == "cloud_providers.openai.api_endpoint"
        assert problem["allowed"] == "over HTTP, what a file says already"
    assert sorted(one.name for one in (gateway.folder / "user_profiles").iterdir()) == ["fast.json"]
    assert stored(gateway, "fast") == MISTRAL
    unkeyed = {"local_providers": {"shed": {"kind": "openai", "url": "http://127.0.0.1:9/v1"}}}
    assert (await gateway.client.put("/admin/v1/profiles/mine", json=unkeyed)).status_code == 201


@pytest.fixture
def shed_has_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHED_API_KEY", "sk-made-up-0123456789")


@pytest.mark.usefixtures("shed_has_a_key")
async def test_a_local_provider_with_a_key_is_held_to_it_too(gateway: Gateway) -> None:
    shed = {"local_providers": {"shed": {"kind": "openai", "url": "http://127.0.0.1:9/v1"}}}
    status, error = await gateway.error("PUT", "/admin/v1/profiles/mine", json=shed)
    assert (status, [one["key_path"] for one in error["problems"]]) == (422, ["local_providers.shed.url"])


async def test_a_put_without_a_version_creates_what_is_not_there(gateway: Gateway) -> None:
    answer = await gateway.client.put("/admin/v1/profiles/new", json=LLAMA)
    told = answer.json()
    assert answer.status_code == 201
    assert answer.headers["etag"] == f'"{told["etag"]}"'
    assert (told["name"], told["created"], told["hot_swap"], told["swap_error"]) == ("new", True, True, "")
    assert stored(gateway, "new") == LLAMA


@pytest.mark.parametrize("headers", [{}, {"if-none-match": "*"}])
async def test_a_put_without_a_version_never_replaces(headers: dict[str, str], gateway: Gateway) -> None:
    status, error = await gateway.error("PUT", FAST, json=LLAMA, headers=headers)
    assert (status, error["code"]) == (412, "edit_conflict")
    assert error["message"] == (
        f"{gateway.folder / 'user_profiles' / 'fast.json'} is there already (nothing was written: GET the profile, make the "
        "change to what it says now, and send its ETag as If-Match)"
    )
    assert stored(gateway, "fast") == MISTRAL


async def test_of_two_writers_with_the_same_version_the_second_is_told(gateway: Gateway) -> None:
    version = (await gateway.client.get(FAST)).headers["etag"]
    first = await gateway.client.put(FAST, json=LLAMA, headers={"if-match": version})
    status, error = await gateway.error("PUT", FAST, json={}, headers={"if-match": version})
    assert (first.status_code, status, error["code"]) == (200, 412, "edit_conflict")
    assert "has changed since it was read" in error["message"]
    assert stored(gateway, "fast") == LLAMA


async def test_of_many_writers_at_once_none_loses_an_edit(gateway: Gateway) -> None:
    async def add(name: str) -> int:
        tries = 0
        while True:
            tries += 1
            read = await gateway.client.get(FAST)
            roles = {**read.json()["role_mappings"], name: {"discover": True}}
            headers = {"if-match": read.headers["etag"]}
            answer = await gateway.client.put(FAST, json={"role_mappings": roles}, headers=headers)
            if answer.status_code == 200:
                return tries
            assert (answer.status_code, answer.json()["error"]["code"]) == (412, "edit_conflict")

    names = [f"writer{number}" for number in range(8)]
    tries = await asyncio.gather(*map(add, names))
    assert set(stored(gateway, "fast")["role_mappings"]) == {"planner", *names}
    assert sum(tries) > len(names)


async def test_edits_that_wait_for_their_turn_keep_no_swap_waiting(gateway: Gateway) -> None:
    with locked(gateway.folder):
        waiting = [asyncio.create_task(gateway.client.put(f"/admin/v1/profiles/p{n}", json={})) for n in range(40)]
        swapped = await gateway.client.post("/admin/v1/swap", json={"profile": "fast"})
        assert (swapped.status_code, any(one.done() for one in waiting)) == (200, False)
    assert {one.status_code for one in await asyncio.gather(*waiting)} == {201}


async def test_any_of_several_versions_will_do(gateway: Gateway) -> None:
    version = (await gateway.client.get(FAST)).headers["etag"]
    answer = await gateway.client.put(FAST, json=LLAMA, headers={"if-match": f'"old", {version}'})
    assert (answer.status_code, stored(gateway, "fast")) == (200, LLAMA)
    answer = await gateway.client.put(FAST, json=MISTRAL, headers={"if-match": "*"})
    assert (answer.status_code, stored(gateway, "fast")) == (200, MISTRAL)


async def test_an_edit_of_what_serves_is_taken_up_before_the_answer(gateway: Gateway) -> None:
    await gateway.client.post("/admin/v1/swap", json={"profile": "fast"})
    version = (await gateway.client.get(FAST)).headers["etag"]
    told = (await gateway.client.put(FAST, json=LLAMA, headers={"if-match": version})).json()
    assert (told["swap"]["generation"], told["swap"]["changed_roles"]) == (3, ["planner"])
    assert gateway.switchboard.live.cause == "profile fast was written over HTTP"


async def test_with_hot_swap_off_an_edit_is_stored_and_nothing_moves(still: Gateway) -> None:
    version = (await still.client.get(FAST)).headers["etag"]
    answer = await still.client.put(FAST, json=LLAMA, headers={"if-match": version})
    told = answer.json()
    assert (answer.status_code, told["hot_swap"], told["swap"], told["swap_error"]) == (200, False, None, "")
    assert stored(still, "fast") == LLAMA
    assert still.switchboard.live.number == 1


async def test_an_edit_that_would_not_be_sound_is_not_stored(gateway: Gateway) -> None:
    version = (await gateway.client.get(FAST)).headers["etag"]
    wrong = {"role_mappings": {"planner": {"preferd": []}}, "gateway": {"port": 0}}
    status, error = await gateway.error("PUT", FAST, json=wrong, headers={"if-match": version})
    assert (status, error["code"]) == (422, "config_invalid")
    assert {one["key_path"] for one in error["problems"]} == {"role_mappings.planner.preferd", "gateway.port"}
    assert stored(gateway, "fast") == MISTRAL


async def test_nothing_is_stored_into_a_configuration_that_does_not_hold(gateway: Gateway) -> None:
    (gateway.folder / "user_models.json").write_text("{", encoding="utf-8")
    status, error = await gateway.error("PUT", "/admin/v1/profiles/new", json={"description": "a new one"})
    assert (status, error["code"]) == (422, "config_invalid")
    assert not (gateway.folder / "user_profiles" / "new.json").exists()


async def test_secrets_are_masked_and_a_mask_that_comes_back_stands_for_what_is_there(gateway: Gateway) -> None:
    write_profile(gateway.folder, "keyed", SECRET)
    answer = await gateway.client.get("/admin/v1/profiles/keyed")
    shown = answer.json()
    assert "hunter2" not in answer.text
    shown["description"] = "with a key"
    path, version = "/admin/v1/profiles/keyed", {"if-match": answer.headers["etag"]}
    assert (await gateway.client.put(path, json=shown, headers=version)).status_code == 200
    assert stored(gateway, "keyed") == {**SECRET, "description": "with a key"}


async def test_a_mask_that_stands_for_nothing_is_refused(gateway: Gateway) -> None:
    write_profile(gateway.folder, "keyed", SECRET)
    shown = (await gateway.client.get("/admin/v1/profiles/keyed")).json()
    status, error = await gateway.error("PUT", "/admin/v1/profiles/other", json=shown)
    where = "role_mappings.planner.parameters.extra_headers.Authorization"
    assert (status, error["param"]) == (400, where)
    assert error["message"] == f"{where}: found a mask where there is no such secret to keep (write the value itself)"


@pytest.mark.parametrize("name", ["a b", ".hidden", "x" * 129])
async def test_a_name_that_no_profile_can_have_is_refused(name: str, gateway: Gateway) -> None:
    status, error = await gateway.error("PUT", f"/admin/v1/profiles/{name}", json={})
    assert (status, error["code"]) == (400, "invalid_request")


async def test_an_unused_profile_is_deleted(gateway: Gateway) -> None:
    answer = await gateway.client.delete(FAST)
    assert (answer.status_code, answer.json()) == (
        200,
        {"name": "fast", "deleted": True, "successor": None, "hot_swap": True, "swap": None, "swap_error": ""},
    )
    assert not (gateway.folder / "user_profiles" / "fast.json").exists()


async def test_a_version_that_is_gone_is_not_deleted(gateway: Gateway) -> None:
    status, error = await gateway.error("DELETE", FAST, headers={"if-match": '"old"'})
    assert (status, error["code"]) == (412, "edit_conflict")
    assert stored(gateway, "fast") == MISTRAL


async def test_the_profile_that_serves_goes_only_with_a_successor(gateway: Gateway) -> None:
    write_profile(gateway.folder, "next", LLAMA)
    await gateway.client.post("/admin/v1/swap", json={"profile": "fast"})
    status, error = await gateway.error("DELETE", FAST)
    assert (status, error["code"]) == (409, "profile_in_use")
    assert error["message"] == (
        'the profile "fast" is needed: the gateway serves by it (name a successor: ?successor=NAME)'
    )
    told = (await gateway.client.delete(f"{FAST}?successor=next")).json()
    assert (told["successor"], told["swap"]["changed_roles"]) == ("next", ["planner"])
    listed = (await gateway.client.get("/admin/v1/profiles")).json()
    assert (listed["active"], [one["name"] for one in listed["profiles"]]) == ("next", ["next"])


async def test_a_profile_that_others_extend_is_kept(gateway: Gateway) -> None:
    write_profile(gateway.folder, "faster", {"extends": "fast"})
    status, error = await gateway.error("DELETE", FAST)
    assert (status, error["code"]) == (409, "profile_in_use")
    assert stored(gateway, "fast") == MISTRAL


@pytest.mark.parametrize(
    ("headers", "tags", "any_version", "absent"),
    [
        ({}, [], False, True),
        ({"if-match": "*"}, [], True, False),
        ({"if-match": '"a"'}, ["a"], False, False),
        ({"if-match": ' "a" , W/"b"'}, ["a", "b"], False, False),
        ({"if-none-match": "*"}, [], False, True),
    ],
)
def test_a_precondition_is_read_from_its_headers(
    headers: dict[str, str], tags: list[str], any_version: bool, absent: bool
) -> None:
    found = Precondition.parse(headers)
    assert (sorted(found.tags), found.any_version, found.absent) == (tags, any_version, absent)


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({"if-match": "abc"}, 'If-Match is abc; allowed: "…" as the ETag was, or *'),
        ({"if-none-match": '"a"'}, 'If-None-Match is "a"; allowed: *'),
        ({"if-match": '"a"', "if-none-match": "*"}, "If-Match and If-None-Match contradict each other"),
    ],
)
def test_a_precondition_that_makes_no_sense_is_refused(headers: dict[str, str], message: str) -> None:
    with pytest.raises(BadRequest) as refused:
        Precondition.parse(headers)
    assert refused.value.message == message


async def test_a_put_without_a_body_empties_nothing(gateway: Gateway) -> None:
    status, error = await gateway.error("PUT", FAST, headers={"if-match": "*"})
    assert (status, error["message"]) == (
        400,
        "the request has no body (send a JSON object; {} is one that says nothing)",
    )
    assert stored(gateway, "fast") == MISTRAL


async def test_a_body_that_no_file_could_hold_is_refused(gateway: Gateway) -> None:
    status, error = await gateway.error("PUT", FAST, content=b" " * (BODY_LIMIT_BYTES + 1), headers={"if-match": "*"})
    assert (status, error["code"]) == (413, "request_too_large")
    assert error["message"] == "the request body is over the limit of 8,388,608 bytes (send less)"


async def test_a_body_of_more_values_than_a_file_may_have_is_refused_unread(gateway: Gateway) -> None:
    status, error = await gateway.error("PUT", FAST, content=b"[" + b"," * 200_001, headers={"if-match": "*"})
    assert (status, error["message"]) == (
        400,
        "found 200,001 commas in the body; allowed: at most 200,000 values (no configuration needs that many)",
    )


async def test_a_key_that_stands_twice_in_a_profile_is_refused(gateway: Gateway) -> None:
    body = b'{"description": "one", "description": "two"}'
    status, error = await gateway.error("PUT", FAST, content=body, headers={"if-match": "*"})
    assert (status, error["message"]) == (
        400,
        "description: found the same key again (first on line 1); allowed: each key once",
    )
    assert stored(gateway, "fast") == MISTRAL


async def test_a_profile_of_an_older_version_is_read_and_written_in_this_one(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    know_an_older_format(monkeypatch)
    path = write_profile(gateway.folder, "fast", OLD_PROFILE)
    answer = await gateway.client.get(FAST)
    assert answer.json() == NEW_PROFILE
    headers = {"if-match": answer.headers["etag"]}
    same = await gateway.client.put(FAST, json=NEW_PROFILE, headers=headers)
    assert (same.headers["etag"], stored(gateway, "fast")) == (answer.headers["etag"], OLD_PROFILE)
    changed = {**NEW_PROFILE, "description": "new"}
    assert (await gateway.client.put(FAST, json=changed, headers=headers)).status_code == 200
    assert stored(gateway, "fast") == changed
    assert json.loads(path.with_name("fast.json.v0.bak").read_text(encoding="utf-8")) == OLD_PROFILE
