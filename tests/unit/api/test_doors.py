"""What is asked of a caller at the door, and what those who come in may do."""

import hmac
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from door_builders import Dial, a_guarded_gateway, a_keyring, bearer
from fakes.ollama import FakeOllama
from gateway.api.doors import FORWARDED, Doors
from gateway.api.guard import Guard, needed_scope, presented_key
from gateway.api.visitor import Visitor, visitor_of
from gateway.compose.journal import journal_of, journal_reader_of
from gateway.telemetry.logs import FACTS, Redactor
from gateway.vault.client_key import Scope as KeyScope
from gateway.vault.client_keys import ClientKeys

ASK = {"model": "planner", "messages": [{"role": "user", "content": "Say hello."}]}
CHAT = "/v1/chat/completions"
HOW = "send it as `Authorization: Bearer KEY`, or as `x-api-key: KEY`"


@pytest.fixture
async def ollama() -> AsyncIterator[FakeOllama]:
    async with FakeOllama(models=["llama3.1:8b", "mistral"]) as server:
        yield server


@pytest.fixture
def keys(tmp_path: Path) -> ClientKeys:
    return ClientKeys(tmp_path / "client_keys.json")


@pytest.mark.parametrize(
    ("headers", "text"),
    [
        ([], ""),
        ([(b"authorization", b"Bearer rg-1")], "rg-1"),
        ([(b"authorization", b"bEARER  rg-1 ")], "rg-1"),
        ([(b"x-api-key", b"rg-1")], "rg-1"),
        ([(b"x-api-key", b"rg-2"), (b"authorization", b"Bearer rg-1")], "rg-1"),
        ([(b"authorization", b"Basic cmc6MQ=="), (b"x-api-key", b"rg-2")], "rg-2"),
        ([(b"authorization", b"rg-1")], ""),
        ([(b"authorization", b"Bearer")], ""),
        ([(b"authorization", "Bearer clé".encode("latin-1"))], "clé"),
    ],
)
def test_a_key_is_a_bearer_token_or_an_x_api_key(headers: list[tuple[bytes, bytes]], text: str) -> None:
    assert presented_key(headers) == text


@pytest.mark.parametrize(
    ("path", "scope"),
    [
        ("/v1", KeyScope.CLIENT),
        ("/v1/models", KeyScope.CLIENT),
        ("/v1x", KeyScope.ADMIN),
        ("/V1/models", KeyScope.ADMIN),
        ("/admin/v1/status", KeyScope.ADMIN),
        ("/", KeyScope.ADMIN),
        ("", KeyScope.ADMIN),
        ("//v1/models", KeyScope.ADMIN),
    ],
)
def test_what_is_not_known_to_be_for_clients_is_for_admins(path: str, scope: KeyScope) -> None:
    assert needed_scope(path) is scope


@pytest.mark.parametrize("name", sorted(FORWARDED))
async def test_a_forwarded_request_is_not_of_this_machine(name: bytes, tmp_path: Path, ollama: FakeOllama) -> None:
    async with a_guarded_gateway(tmp_path, url=ollama.url, keys=None, loopback_only=True) as gateway:
        assert (await gateway.client.get("/v1/models")).status_code == 200
        answer = await gateway.client.get("/v1/models", headers={name.decode(): "203.0.113.7"})
        assert (answer.status_code, answer.json()["error"]["message"]) == (
            401,
            f"this gateway asks for a key, and the request has none ({HOW})",
        )
        shown = await gateway.client.get("/v1/models", headers={name.decode(): "203.0.113.7", **bearer("rg-any")})
        assert (shown.status_code, shown.json()["error"]["message"]) == (
            401,
            "this gateway has no keys, and answers callers on its own machine only",
        )


async def test_each_reason_to_turn_somebody_away_is_told_in_a_sentence(tmp_path: Path, ollama: FakeOllama) -> None:
    ring = a_keyring(tmp_path)
    async with a_guarded_gateway(tmp_path, url=ollama.url, keys=ring.keys) as gateway:

        async def told(visitor: str, path: str = "/v1/models/planner") -> str:
            message: str = (await gateway.client.get(path, headers=bearer(ring.texts[visitor]))).json()["error"][
                "message"
            ]
            return message

        assert await told("wrong") == "the key is not one of this gateway's (see whether it was copied whole)"
        assert await told("junk") == "the key is not one of this gateway's (see whether it was copied whole)"
        assert await told("expired") == 'the key "expired" has expired (ask whoever runs the gateway for another)'
        assert await told("revoked") == 'the key "revoked" has been revoked (ask whoever runs the gateway for another)'
        assert (
            await told("admin") == 'the key "admin" opens /admin, and not /v1/models/planner (that takes a client key)'
        )
        assert await told("client", "/admin/v1/plan") == (
            'the key "client" opens /v1, and not /admin/v1/plan (that takes an admin key)'
        )
        assert await told("client_of_another_role") == (
            'this key may not use "planner"; it may use: writer (ask whoever runs the gateway for a key with that role)'
        )


async def test_anthropics_clients_show_their_key_their_way_and_are_refused_in_their_shape(
    tmp_path: Path, ollama: FakeOllama
) -> None:
    ring = a_keyring(tmp_path)
    body = {**ASK, "max_tokens": 16}
    async with a_guarded_gateway(tmp_path, url=ollama.url, keys=ring.keys) as gateway:
        client = gateway.client
        answer = await client.post("/v1/messages", json=body, headers={"x-api-key": ring.texts["client"]})
        assert answer.status_code == 200
        for visitor, status, kind in (("wrong", 401, "authentication_error"), ("admin", 403, "permission_error")):
            refused = await client.post("/v1/messages", json=body, headers={"x-api-key": ring.texts[visitor]})
            assert (refused.status_code, refused.json()["type"]) == (status, "error")
            assert refused.json()["error"]["type"] == kind
        other = await client.post(
            "/v1/messages", json=body, headers={"x-api-key": ring.texts["client_of_another_role"]}
        )
        assert (other.status_code, other.json()["error"]["type"]) == (403, "permission_error")


async def test_a_key_that_is_bound_to_roles_sees_those_alone(
    tmp_path: Path, ollama: FakeOllama, keys: ClientKeys
) -> None:
    bound = keys.create("bound", now_s=1.0, roles={"planner"}).text.reveal()
    free = keys.create("free", now_s=1.0).text.reveal()
    async with a_guarded_gateway(tmp_path, url=ollama.url, keys=keys) as gateway:
        for text, expected in (
            (bound, ["planner"]),
            (free, ["planner", "ollama:llama3.1:8b", "ollama:mistral:latest"]),
        ):
            listed = (await gateway.client.get("/v1/models", headers=bearer(text))).json()["data"]
            assert [one["id"] for one in listed] == expected
        for model in ("ollama:mistral:latest", "mistral", "nothing"):
            asked = await gateway.client.post(CHAT, json={**ASK, "model": model}, headers=bearer(bound))
            assert asked.json()["error"]["message"].startswith(f'this key may not use "{model}"; it may use: planner')
            assert (await gateway.client.get(f"/v1/models/{model}", headers=bearer(bound))).status_code == 403
        assert (await gateway.client.post(CHAT, json=ASK, headers=bearer(bound))).status_code == 200


async def test_a_bound_key_learns_of_no_other_role_from_an_error(
    tmp_path: Path, ollama: FakeOllama, keys: ClientKeys
) -> None:
    bound = keys.create("bound", now_s=1.0, roles={"writer"}).text.reveal()
    async with a_guarded_gateway(tmp_path, url=ollama.url, keys=keys) as gateway:
        for body in ({"model": "planner"}, ASK):
            answer = await gateway.client.post(CHAT, json=body, headers=bearer(bound))
            assert "x-rolegate-role" not in answer.headers
        gone = await gateway.client.post(CHAT, json={**ASK, "model": "writer"}, headers=bearer(bound))
        shown = await gateway.client.get("/v1/models/writer", headers=bearer(bound))
        message = 'there is no role or model "writer"; the roles are: none (GET /v1/models lists what can be asked for)'
        for answer in (gone, shown):
            assert (answer.status_code, answer.json()["error"]["message"]) == (404, message)


async def test_what_is_made_or_taken_back_counts_from_the_next_request_on(
    tmp_path: Path, ollama: FakeOllama, keys: ClientKeys
) -> None:
    beside = ClientKeys(keys.path)
    async with a_guarded_gateway(tmp_path, url=ollama.url, keys=keys) as gateway:

        async def status(text: str) -> int:
            return (await gateway.client.get("/v1/models", headers=bearer(text))).status_code

        text = beside.create("ci", now_s=1.0).text.reveal()
        assert await status(text) == 200
        beside.revoke("ci", now_s=2.0)
        assert await status(text) == 401


async def test_a_list_of_keys_that_cannot_be_used_lets_nobody_in_and_the_log_says_why_once(
    tmp_path: Path, ollama: FakeOllama, keys: ClientKeys, caplog: pytest.LogCaptureFixture
) -> None:
    text = keys.create("ci", now_s=1.0).text.reveal()
    keys.path.write_text("{}", encoding="utf-8")
    async with a_guarded_gateway(tmp_path, url=ollama.url, keys=keys) as gateway:
        for _ in range(3):
            answer = await gateway.client.get("/v1/models", headers=bearer(text))
            assert answer.status_code == 503
            assert answer.json()["error"] == {
                "message": "the gateway cannot use its list of keys (its log says why)",
                "type": "api_error",
                "code": "doors_shut",
                "param": None,
                "source": "gateway",
            }
        assert (await gateway.client.get("/healthz")).status_code == 200
    told = [one for one in caplog.records if one.message == "nobody with a key comes in"]
    assert len(told) == 1
    assert str(keys.path) in str(vars(told[0])["reason"])


async def passed(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": visitor_of(scope).name.encode()})


async def through(doors: Doors, text: str, path: str = "/v1/models") -> tuple[int, dict[bytes, bytes], bytes]:
    sent: list[Any] = []

    async def receive() -> Any:
        raise AssertionError("nothing is read at the door")

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(name.encode(), value.encode()) for name, value in bearer(text).items()]
    await doors({"type": "http", "method": "GET", "path": path, "headers": headers}, receive, send)
    return sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"]


async def test_the_application_behind_hears_the_name_of_the_key(keys: ClientKeys) -> None:
    text = keys.create("ci", now_s=1.0).text.reveal()
    doors = Doors(passed, guard=Guard(keys, clock=Dial()), here=None)
    assert await through(doors, text) == (200, {}, b"ci")
    assert await through(doors, "", path="/healthz") == (200, {}, b"")
    assert visitor_of({"type": "http"}) == Visitor()


async def test_a_minute_that_is_used_up_is_429_with_the_time_to_come_back(keys: ClientKeys) -> None:
    text = keys.create("ci", now_s=1.0, requests_per_minute=2).text.reveal()
    dial = Dial()
    doors = Doors(passed, guard=Guard(keys, clock=dial), here=None)
    assert [(await through(doors, text))[0] for _ in range(2)] == [200, 200]
    status, headers, body = await through(doors, text)
    assert (status, headers[b"retry-after"]) == (429, b"30")
    assert b'"this key may send 2 requests per minute; try again in 30.0 s"' in body
    assert b'"code":"key_limit_reached"' in body
    dial.now_s += 29.5
    assert (await through(doors, text))[1][b"retry-after"] == b"1"
    dial.now_s += 0.5
    assert (await through(doors, text))[0] == 200


async def test_a_place_is_free_again_when_its_request_is_over_however_it_ends(keys: ClientKeys) -> None:
    text = keys.create("ci", now_s=1.0, concurrency=1).text.reveal()
    guard = Guard(keys, clock=Dial())
    inner: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if not inner:
            inner.append((await through(doors, text))[0])
            raise RuntimeError("it broke")
        await passed(scope, receive, send)

    doors = Doors(app, guard=guard, here=None)
    with pytest.raises(RuntimeError, match="it broke"):
        await through(doors, text)
    assert inner == [429]
    assert (await through(doors, text))[0] == 200


async def test_an_expired_key_is_refused_from_that_moment_on(keys: ClientKeys) -> None:
    dial = Dial()
    text = keys.create("ci", now_s=1.0, expires_s=dial.now_s + 10).text.reveal()
    doors = Doors(passed, guard=Guard(keys, clock=dial), here=None)
    assert (await through(doors, text))[0] == 200
    dial.now_s += 10
    assert (await through(doors, text))[0] == 401


async def test_a_wrong_key_costs_one_comparison_of_digests_of_one_length_whatever_it_is(
    keys: ClientKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How long a refusal takes tells nothing of the right text: nothing on the way compares it, or looks at its length."""
    right = keys.create("ci", now_s=1.0).text.reveal()
    doors = Doors(passed, guard=Guard(keys, clock=Dial()), here=None)
    compared: list[tuple[int, int]] = []
    compare = hmac.compare_digest

    def counted(one: bytes, other: bytes) -> bool:
        compared.append((len(one), len(other)))
        return compare(one, other)

    monkeypatch.setattr(hmac, "compare_digest", counted)
    for wrong in ("x", "x" * 5_000, right[:-1], f"{right}a", right[:-1] + ("a" if right[-1] != "a" else "b"), "rg-"):
        compared.clear()
        assert (await through(doors, wrong))[0] == 401
        assert compared == [(32, 32)]


async def test_the_log_the_journal_and_the_status_name_the_key_and_never_show_it(
    tmp_path: Path, ollama: FakeOllama, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    ring = a_keyring(tmp_path)
    journal = journal_of(tmp_path / "state", redactor=Redactor())
    journal.start()
    async with a_guarded_gateway(tmp_path, url=ollama.url, keys=ring.keys, journal=journal) as gateway:
        for visitor in ring.texts:
            await gateway.client.post(CHAT, json=ASK, headers=bearer(ring.texts[visitor]))
        status = (await gateway.client.get("/admin/v1/status", headers=bearer(ring.texts["admin"]))).json()
    assert journal.flush(within_s=30)
    journal.close(within_s=30)
    rows = journal_reader_of(tmp_path / "state").recent(limit=10)
    assert [(one.key, one.status, one.role) for one in rows] == [("writers", 403, ""), ("client", 200, "planner")]
    assert status["doors"] == {
        "open_on_loopback": False,
        "keys": [
            {"name": "client", "scope": "client", "roles": None, "expires": None},
            {"name": "writers", "scope": "client", "roles": ["writer"], "expires": None},
            {"name": "admin", "scope": "admin", "roles": None, "expires": None},
        ],
    }
    told = [vars(one) for one in caplog.records]
    assert [one[FACTS]["key"] for one in told if FACTS in one] == ["client", "writers"]
    refused = [(one["status"], one["reason"]) for one in told if one["message"] == "turned away"]
    assert refused[0] == (401, "this gateway asks for a key, and the request has none")
    assert [status for status, _ in refused] == [401] * 6 + [403]
    everything = f"{told}{status}{rows}"
    assert not [text for text in ring.texts.values() if len(text) > 20 and text in everything]


async def test_a_website_gets_no_leave_to_ask(tmp_path: Path, ollama: FakeOllama) -> None:
    ring = a_keyring(tmp_path)
    page = {"origin": "https://example.org", "access-control-request-method": "POST"}
    async with a_guarded_gateway(tmp_path, url=ollama.url, keys=ring.keys) as gateway:
        for headers, status in ((page, 401), ({**page, **bearer(ring.texts["client"])}, 405)):
            answer = await gateway.client.options(CHAT, headers=headers)
            assert answer.status_code == status
            assert not [name for name in answer.headers if name.startswith("access-control-")]
