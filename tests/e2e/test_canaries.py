"""Strings that must turn up nowhere: planted as every kind of secret, looked for everywhere after everything has gone wrong."""

import base64
import json
import signal
import sys
import time
from pathlib import Path

import httpx
import psutil

from cloud_builders import a_cloud, behind_local, rolegate
from fakes import faults
from fakes.upstream import FakeUpstream
from gateway.vault.client_key import Scope
from gateway.vault.client_keys import ClientKeys
from gateway_process import GatewayProcess

IN_VAULT = "sk-canary-vault-6f1d0b7c9e"
IN_ENVIRONMENT = "sk-ant-canary-variable-52ab81c4"
PASSPHRASE = "canary passphrase of seven words"
OF_PASSPHRASE_TO_BE = "canary passphrase that comes later"
IN_A_FILE = "sk-canary-in-the-wrong-file-77"
LEAKING = Path(__file__).with_name("leaking_gateway.py")
HOME = {"ROLEGATE_VAULT_PASSPHRASE": PASSPHRASE, "ANTHROPIC_API_KEY": IN_ENVIRONMENT, "LITELLM_LOG": "DEBUG"}
ADMIN = (
    "status", "plan", "generations", "models", "resources", "requests?failed=1", "requests", "openapi.json", "profiles",
    "profiles/quiet",
)  # fmt: skip
COMMANDS = (
    ("config", "show"), ("config", "show", "--origin", "--json"), ("config", "validate"), ("plan", "--json"),
    ("explain", "planner", "--json"), ("router", "render"), ("models", "list", "--json"), ("roles", "show", "planner"),
    ("providers", "list"), ("providers", "list", "--json"), ("providers", "test", "--debug"), ("status", "--json"),
    ("requests", "--json"), ("profiles", "export", "quiet", "-"), ("providers", "test", "openai", "--complete", "--debug"),
)  # fmt: skip


class Heard:
    """Everything that anybody was told, with what it was said to."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    def add(self, where: str, text: str) -> None:
        self.texts[f"{len(self.texts)} {where}"] = text

    def last(self, where: str) -> str:
        """What was told there last."""
        return [text for name, text in self.texts.items() if name.partition(" ")[2] == where][-1]

    async def ask(self, gateway: GatewayProcess, role: str, text: str, *, key: str, **more: object) -> None:
        """The same over both wires that clients speak, with a client's key."""
        asked = {"model": role, "messages": [{"role": "user", "content": text}], "max_tokens": 9, **more}
        headers = {"authorization": f"Bearer {key}", "x-api-key": key, "x-rolegate-trace": "1"}
        async with httpx.AsyncClient(timeout=60, trust_env=False) as client:
            for path in ("chat/completions", "messages", "responses", "completions"):
                try:
                    answer = await client.post(f"{gateway.base_url}/{path}", json=asked, headers=headers)
                except httpx.RemoteProtocolError as cut:
                    self.add(f"{path} {role} {text}", repr(cut))
                else:
                    self.add(f"{path} {role} {text}", f"{answer.headers}\n{answer.text}")

    async def admin(self, gateway: GatewayProcess, *, key: str) -> None:
        headers = {"authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(timeout=60, trust_env=False, headers=headers) as client:
            for path in ADMIN:
                answer = await client.get(f"{gateway.url}/admin/v1/{path}")
                self.add(path, f"{answer.headers}\n{answer.text}")
            for place in ("/metrics", "/ui/", "/readyz", "/v1/models", "/nowhere"):
                answer = await client.get(f"{gateway.url}{place}")
                self.add(place, f"{answer.headers}\n{answer.text}")
            answer = await client.post(f"{gateway.url}/admin/v1/explain/planner", json={})
            self.add("explain", answer.text)
            wrong = {"cloud_providers": {"openai": {"api_key": IN_A_FILE}}}
            for tag in ("*", '"0"'):
                answer = await client.put(
                    f"{gateway.url}/admin/v1/profiles/quiet", json=wrong, headers={"If-Match": tag}
                )
                self.add(f"a profile with a key in it, {tag}", answer.text)


def troubles(key: str, *, refused: int) -> list[faults.Fault]:
    """Failures of an upstream that repeats the key it was shown, in every place that it can."""
    told = json.dumps({"error": {"message": f"the key {key} is bad", "code": key, "type": f"Bearer {key}"}})
    return [
        faults.status(400, told),
        faults.status(422, f"plain words and {key}"),
        faults.status(429, told, retry_after="0"),
        faults.status(500, told, x_debug=key),
        faults.status(503, told),
        faults.status(307, key, location=f"http://127.0.0.1:9/{key}"),
        faults.error(f"mid-stream, {key}", after_chunks=1),
        faults.garbage(f'{{"broken": "{key}', after_chunks=1),
        faults.raw(f"HTTP/1.1 {key}\r\n\r\n{key}".encode()),
        faults.reset(after_chunks=1),
        # From the last one on the deployment is held back.
        faults.status(refused, told, www_authenticate=f"Bearer {key}"),
    ]


async def commands(heard: Heard, folder: Path, *, environment: dict[str, str]) -> None:
    for arguments in COMMANDS:
        said = await rolegate(folder, *arguments, environment=environment)
        heard.add(" ".join(arguments), said.out + said.err)


async def edits_that_are_refused(heard: Heard, gateway: GatewayProcess, folder: Path, *, key: str) -> None:
    """A key where no key may stand, a vault that is none, a vault under another passphrase: and back again."""
    layer = folder / "config" / "user_models.json"
    layer.write_text(json.dumps({"cloud_providers": {"openai": {"api_key": IN_A_FILE}}}), encoding="utf-8")
    await gateway.logged("api_key")
    await heard.admin(gateway, key=key)
    refused = await rolegate(folder, "config", "validate", "--debug", environment=HOME)
    heard.add("config validate", refused.out + refused.err)
    layer.unlink()
    vault = folder / "config" / "api_keys.json"
    sound = vault.read_bytes()
    for content in (sound[:-40], sound.replace(b"openai", b"opener"), b"{}", f'"{IN_A_FILE}"'.encode()):
        vault.write_bytes(content)
        for arguments in (("providers", "list", "--debug"), ("providers", "rotate-vault"), ("plan",)):
            said = await rolegate(folder, *arguments, environment=HOME)
            heard.add(f"{' '.join(arguments)} on {len(content)} bytes", said.out + said.err)
    vault.write_bytes(sound)
    for passphrase in (OF_PASSPHRASE_TO_BE, "short"):
        environment = {**HOME, "ROLEGATE_VAULT_PASSPHRASE": passphrase}
        for arguments in (
            ("providers", "list", "--debug"),
            ("providers", "remove-key", "openai"),
            ("serve", "--debug"),
        ):
            said = await rolegate(folder, *arguments, environment=environment)
            assert said.code == 7
            heard.add(" ".join(arguments), said.out + said.err)
    for arguments in ((IN_A_FILE,), ("openai", IN_A_FILE, "--debug")):
        said = await rolegate(folder, "providers", "set-key", *arguments, environment=HOME)
        assert said.code == 2
        heard.add("set-key with a key for an argument", said.out + said.err)
    rotated = await rolegate(
        folder,
        "providers",
        "rotate-vault",
        "--to",
        "passphrase",
        "--stdin",
        stdin=OF_PASSPHRASE_TO_BE,
        environment=HOME,
    )
    assert rotated.code == 0
    heard.add("rotate-vault", rotated.out + rotated.err)


async def test_a_secret_turns_up_nowhere_but_where_it_was_put(tmp_path: Path) -> None:
    heard, state = Heard(), tmp_path / "state"
    said = await rolegate(
        tmp_path, "providers", "set-key", "openai", "--stdin", "--json", stdin=IN_VAULT, environment=HOME
    )
    assert said.code == 0, said.err
    heard.add("set-key", said.out + said.err)
    made = ClientKeys(state / "client_keys.json").create("editor", now_s=time.time(), scope=Scope.ADMIN)
    client_key = made.text.reveal()
    profiles = tmp_path / "config" / "user_profiles"
    profiles.mkdir()
    (profiles / "quiet.json").write_text('{"description": "says little"}', encoding="utf-8")
    async with a_cloud(key=IN_VAULT) as cloud:
        config = {**behind_local(cloud), "gateway": {"hot_swap": True}}
        gateway = GatewayProcess(tmp_path, config, environment=HOME, launcher=[sys.executable, str(LEAKING)])
        async with gateway:
            heard.add("ready", json.dumps(gateway.ready))
            heard.add("arguments", " ".join(psutil.Process(gateway.pid).cmdline()))
            await exercise(heard, gateway, cloud=cloud, client_key=client_key)
            await commands(heard, tmp_path, environment=HOME)
            await edits_that_are_refused(heard, gateway, tmp_path, key=client_key)
            await heard.admin(gateway, key=client_key)
            await heard.ask(gateway, "planner", "crash", key=client_key)
            await gateway.end(signal.SIGKILL)
    secrets = {IN_VAULT, IN_ENVIRONMENT, PASSPHRASE, OF_PASSPHRASE_TO_BE, IN_A_FILE, client_key, client_key[-40:]}
    assert "made up: " in gateway.log()
    assert "DEBUG" in gateway.log()
    assert "[secret]" in gateway.log()
    assert "rolegate_failovers_total{" in heard.last("/metrics")
    files = files_in(tmp_path)
    assert {"state/router.yaml", "state/registry.sqlite", "config/api_keys.json", "stderr"} <= files.keys()
    searched = {**files, **{where: text.encode() for where, text in heard.texts.items()}}
    assert found_in(searched, secrets) == []


async def exercise(heard: Heard, gateway: GatewayProcess, *, cloud: FakeUpstream, client_key: str) -> None:
    """Every failure of a provider, for requests whole and streamed, and for its lists of models."""
    for role, key, refused in (("planner", IN_VAULT, 401), ("critic", IN_ENVIRONMENT, 403)):
        cloud.key = key
        await heard.ask(gateway, role, "say hello", key=client_key)
        await heard.ask(gateway, role, "crash", key=client_key)
        await heard.ask(gateway, role, "crash", key=client_key, stream=True)
        for number, trouble in enumerate(troubles(key, refused=refused)):
            for stream in (False, True):
                cloud.fail(trouble)
                await heard.ask(gateway, role, f"trouble {number}", key=client_key, stream=stream)
                cloud.heal()
    await heard.admin(gateway, key=client_key)
    for status in (401, 403, 404, 500):
        cloud.fail(troubles(IN_VAULT, refused=status)[-1])
        said = await gateway.rolegate("providers", "test", "openai", "--json")
        assert said.code == 6
        heard.add("providers test", said.out + said.err)
        cloud.heal()


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(one.relative_to(folder)): one.read_bytes() for one in folder.rglob("*") if one.is_file()}


def found_in(searched: dict[str, bytes], secrets: set[str]) -> list[tuple[str, str]]:
    """Where which secret stands: as it is, as JSON or a URL would write it, or as base64 would."""
    forms: dict[str, set[bytes]] = {}
    for secret in secrets:
        plain = secret.encode()
        shifted = (base64.b64encode(b"\0" * shift + plain)[4 if shift else 0 : -4] for shift in range(3))
        forms[secret] = {plain, plain.replace(b" ", b"%20"), plain.replace(b" ", b"+"), *shifted}
    return [
        (where, secret)
        for where, content in searched.items()
        for secret, shapes in forms.items()
        if any(shape in content for shape in shapes)
    ]
