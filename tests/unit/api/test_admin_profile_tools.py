"""The admin routes that make something of profiles: single values, copies, comparisons, judgements, files to carry elsewhere."""

import json
from typing import Any

from admin_builders import MISTRAL, Gateway, write_profile

FAST = "/admin/v1/profiles/fast"
LLAMA = {"role_mappings": {"planner": {"preferred": ["llama3.1:8b"]}}}


def stored(gateway: Gateway, name: str) -> Any:
    return json.loads((gateway.folder / "user_profiles" / f"{name}.json").read_text(encoding="utf-8"))


async def test_single_values_of_what_serves_are_changed_and_taken_up(gateway: Gateway) -> None:
    await gateway.client.post("/admin/v1/swap", json={"profile": "fast"})
    changes = {"set": {"role_mappings.planner.preferred[0]": "llama3.1:8b", "selection.memory_margin": 0.2}}
    answer = await gateway.client.patch(FAST, json=changes)
    assert answer.json()["swap"]["changed_roles"] == ["planner"]
    assert stored(gateway, "fast") == {**LLAMA, "selection": {"memory_margin": 0.2}}
    version = {"if-match": answer.headers["etag"]}
    gone = await gateway.client.patch(FAST, json={"unset": ["selection.memory_margin"]}, headers=version)
    assert (gone.status_code, gone.json()["created"]) == (200, False)
    status, error = await gateway.error("PATCH", FAST, json=changes, headers=version)
    assert (status, error["code"]) == (412, "edit_conflict")
    status, error = await gateway.error("PATCH", "/admin/v1/profiles/fats", json=changes)
    assert (status, error["code"]) == (404, "not_found")


async def test_a_profile_is_copied_under_a_new_name_only(gateway: Gateway) -> None:
    answer = await gateway.client.post(f"{FAST}/copy", json={"name": "mine"})
    assert (answer.status_code, answer.json()["name"], stored(gateway, "mine")) == (201, "mine", MISTRAL)
    assert answer.headers["etag"] == (await gateway.client.get("/admin/v1/profiles/mine")).headers["etag"]
    status, error = await gateway.error("POST", f"{FAST}/copy", json={"name": "mine"})
    assert (status, error["code"]) == (409, "name_taken")
    status, error = await gateway.error("POST", f"{FAST}/copy", json={"name": ""})
    assert (status, error["message"]) == (400, 'name: found ""; allowed: the name of the new profile')


async def test_two_profiles_are_compared(gateway: Gateway) -> None:
    write_profile(gateway.folder, "slow", LLAMA)
    told = (await gateway.client.get(f"{FAST}/diff?with=slow")).json()
    assert told["settings"] == [
        {
            "path": "role_mappings.planner.preferred",
            "left": ["mistral:latest"],
            "right": ["llama3.1:8b"],
            "in_left": True,
            "in_right": True,
        }
    ]
    assert told["roles"]["planner"]["same"] is False
    assert told["roles"]["planner"]["left"][0] == "ollama:mistral:latest"
    assert told["digests"]["left"] != told["digests"]["right"]
    status, error = await gateway.error("GET", f"{FAST}/diff")
    assert (status, error["message"]) == (400, "with: found nothing; allowed: the profile to compare with")
    status, error = await gateway.error("GET", f"{FAST}/diff?with=slwo")
    assert (status, error["message"]) == (404, 'there is no profile "slwo"; known: fast, slow (did you mean "slow"?)')


async def test_a_profile_is_judged_by_what_is_here_and_what_it_demands(gateway: Gateway) -> None:
    demanding = {"planner": {"preferred": ["gone:70b", "mistral:latest"], "requirements": {"memory_gb_max": 0.1}}}
    write_profile(gateway.folder, "grand", {"role_mappings": demanding})
    told = (await gateway.client.get("/admin/v1/profiles/grand/validate")).json()
    assert (told["profile"], told["valid"], told["degraded"]) == ("grand", True, ["planner"])
    assert [(one["model"], one["verdict"]) for one in told["missing"]] == [("gone:70b", "not_installed")]
    assert [(one["model"], one["verdict"]) for one in told["ruled_out"]] == [
        ("ollama:mistral:latest", "over_memory_limit")
    ]
    write_profile(gateway.folder, "wrong", {"gateway": {"port": 0}})
    status, error = await gateway.error("GET", "/admin/v1/profiles/wrong/validate")
    assert (status, error["code"], len(error["problems"])) == (422, "config_invalid", 1)
    assert gateway.switchboard.live.number == 1


async def test_an_exported_profile_is_imported_again(gateway: Gateway) -> None:
    write_profile(gateway.folder, "faster", {"extends": "fast"})
    bundle = (await gateway.client.get("/admin/v1/profiles/faster/export")).json()
    await gateway.client.delete("/admin/v1/profiles/faster")
    answer = await gateway.client.post("/admin/v1/profiles", json=bundle)
    told = answer.json()
    assert (answer.status_code, told["name"], told["created"], told["parents"]) == (201, "faster", True, [])
    assert answer.headers["etag"] == f'"{told["etag"]}"'
    again = await gateway.client.post("/admin/v1/profiles", json=bundle)
    assert (again.status_code, again.json()["created"]) == (200, False)


async def test_an_import_replaces_nothing_unless_it_is_told_to(gateway: Gateway) -> None:
    write_profile(gateway.folder, "faster", {"extends": "fast"})
    bundle = (await gateway.client.get("/admin/v1/profiles/faster/export")).json()
    write_profile(gateway.folder, "fast", LLAMA)
    status, error = await gateway.error("POST", "/admin/v1/profiles", json=bundle)
    assert (status, error["code"]) == (409, "name_taken")
    assert "?replace=1 over HTTP" in error["message"]
    named = (await gateway.client.post("/admin/v1/profiles?name=theirs", json=bundle)).json()
    assert (named["name"], named["parents"]) == ("theirs", ["theirs-fast"])
    assert stored(gateway, "fast") == LLAMA
    replaced = (await gateway.client.post("/admin/v1/profiles?replace=1", json=bundle)).json()
    assert (replaced["parents"], stored(gateway, "fast")) == (["fast"], MISTRAL)


async def test_a_bundle_that_was_changed_on_the_way_is_refused(gateway: Gateway) -> None:
    bundle = (await gateway.client.get(f"{FAST}/export")).json()
    for version in (0, -1):
        status, error = await gateway.error("POST", "/admin/v1/profiles", json={**bundle, "schema_version": version})
        assert (status, error["message"]) == (
            400,
            f"the body is no exported profile: schema_version is {version} (`rolegate profiles export` writes one)",
        )
    status, error = await gateway.error("POST", "/admin/v1/profiles", json={**bundle, "profile": {}})
    assert (status, error["message"].partition(":")[0]) == (400, "the body is not as it was exported")


async def test_a_look_finds_what_came_since(gateway: Gateway) -> None:
    told = (await gateway.client.post("/admin/v1/look")).json()
    assert (told["models"], [one["name"] for one in told["providers"]]) == (2, ["ollama"])


async def test_what_serves_is_told_as_a_profile_over_another(gateway: Gateway) -> None:
    write_profile(gateway.folder, "slow", {**LLAMA, "selection": {"memory_margin": 0.2}})
    pins = {"preferred": ["ollama:llama3.1:8b", "ollama:mistral:latest"], "cloud_fallback": [], "discover": False}
    told = (await gateway.client.get("/admin/v1/plan/profile?extends=slow")).json()
    assert told == {"extends": "slow", "role_mappings": {"planner": pins}, "selection": None}
    created = await gateway.client.put("/admin/v1/profiles/now", json=told)
    assert created.status_code == 201
    swapped = (await gateway.client.post("/admin/v1/swap", json={"profile": "now"})).json()
    assert swapped["swapped"] is False
