"""A gateway with hot-swap on over a fake Ollama host, changes that make it swap, and clients that notice everything."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx

from fakes.ollama import FakeOllama
from fakes.ollama_models import FakeModel, catalogue
from fakes.ollama_runners import HostProfile
from gateway_process import GatewayProcess

ROLES = ("planner", "critic", "executor")
LASTING = ("base-a:1b", "base-b:1b")
"""Models that are never deleted: the last choices of every role."""
PASSING = tuple(f"m{number}:1b" for number in range(6))
WITHIN_S = 60.0


def a_small_model(name: str) -> FakeModel:
    return replace(catalogue()["llama3.1:8b"], name=name, weights=name)


def a_host() -> FakeOllama:
    return FakeOllama(
        models=[a_small_model(name) for name in (*LASTING, *PASSING)],
        profile=HostProfile(num_parallel=64, max_loaded=64),
    )


def mappings(first: int, *, lasting: Sequence[str] = LASTING) -> dict[str, object]:
    """Three roles of four deployments each; the first two differ by role and by ``first``, the others are ``lasting``."""
    names = [PASSING[(first + place) % len(PASSING)] for place in range(len(ROLES) + 1)]
    return {
        role: {"preferred": [names[place], names[place + 1], *lasting], "discover": False}
        for place, role in enumerate(ROLES)
    }


def a_config(url: str, *, first: int = 0, gateway: Mapping[str, object] | None = None) -> dict[str, object]:
    sizes = {"capabilities": {"memory_gb_estimate": 0.05}}
    return {
        "role_mappings": mappings(first),
        "model_profiles": dict.fromkeys((*LASTING, *PASSING), sizes),
        "local_providers": {"ollama": {"kind": "ollama", "url": url}},
        "gateway": {"hot_swap": True, **(gateway or {})},
    }


@dataclass(kw_only=True)
class Site:
    """One gateway with its folders, its host, and an operator's hands on both."""

    process: GatewayProcess
    fake: FakeOllama
    folder: Path
    client: httpx.AsyncClient
    seen: dict[int, Mapping[str, list[str]]] = field(default_factory=dict)
    """The deployments of every role by generation, as far as ``status`` told of it."""

    @property
    def models_file(self) -> Path:
        return self.folder / "config" / "models.json"

    @property
    def state_folder(self) -> Path:
        return self.process.state_folder

    async def status(self) -> dict[str, Any]:
        answer: dict[str, Any] = (await self.client.get(f"{self.process.url}/admin/v1/status")).json()
        if answer["generation"]:
            self.seen[answer["generation"]["number"]] = {
                role: [one["model"] for one in deployments] for role, deployments in answer["roles"].items()
            }
        return answer

    async def until(self, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Wait for a state of the gateway."""
        async with asyncio.timeout(WITHIN_S):
            while True:
                status = await self.status()
                if holds(status):
                    return status
                await asyncio.sleep(0.01)

    async def logged(self, words: str) -> None:
        """Wait until the log says so."""
        await self.process.logged(words)

    async def number(self) -> int:
        number: int = (await self.status())["generation"]["number"]
        return number

    async def until_past(self, number: int) -> dict[str, Any]:
        """Wait until a newer generation is live."""
        return await self.until(lambda status: status["generation"]["number"] > number)

    async def until_error(self, words: str) -> dict[str, Any]:
        """Wait until the last error says so."""
        return await self.until(lambda status: words in status["last_error"])

    async def swapped_by(self, change: Callable[[], None]) -> dict[str, Any]:
        """Make a change, and wait until a newer generation is live."""
        before = await self.number()
        change()
        return await self.until_past(before)

    def write(self, content: Mapping[str, object] | bytes) -> None:
        """As an editor saves: another file, renamed over the old one."""
        data = content if isinstance(content, bytes) else json.dumps(content, indent=2).encode()
        beside = self.models_file.with_name(".models.json.new")
        beside.write_bytes(data)
        beside.replace(self.models_file)

    def edit(self, first: int) -> None:
        self.write(a_config(self.fake.url, first=first))

    def use(self, profile: str) -> None:
        """As `rolegate profiles use` leaves it."""
        beside = self.state_folder / ".active_profile.new"
        beside.write_text(f"{profile}\n", encoding="utf-8")
        beside.replace(self.state_folder / "active_profile")

    async def swap(self, profile: str) -> dict[str, Any]:
        """As `rolegate profiles use` asks for it."""
        answer = await self.client.post(f"{self.process.url}/admin/v1/swap", json={"profile": profile})
        assert answer.status_code == 200, answer.text
        swap: dict[str, Any] = answer.json()
        assert swap["swapped"], swap
        return swap

    async def delete(self, model: str) -> None:
        answer = await self.client.delete(f"{self.process.url}/admin/v1/models/ollama:{model}", params={"force": "1"})
        assert answer.status_code == 200, answer.text

    def install_all(self) -> None:
        """Every model is there again. Nobody tells the gateway; it sees them when it next looks."""
        for name in PASSING:
            self.fake.models.setdefault(name, a_small_model(name))


@asynccontextmanager
async def a_site(folder: Path, *, launcher: Sequence[str] = (), **gateway: object) -> AsyncIterator[Site]:
    async with a_host() as fake:
        profiles = folder / "config" / "user_profiles"
        profiles.mkdir(parents=True, exist_ok=True)
        for number in range(3):
            content = json.dumps({"role_mappings": mappings(number, lasting=LASTING[::-1])})
            (profiles / f"p{number}.json").write_text(content, encoding="utf-8")
        async with (
            GatewayProcess(folder, a_config(fake.url, gateway=gateway), launcher=launcher) as process,
            httpx.AsyncClient(trust_env=False, timeout=WITHIN_S) as client,
        ):
            site = Site(process=process, fake=fake, folder=folder, client=client)
            await site.status()
            yield site


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """One request as its client saw it. ``trouble`` is empty when it was answered in full."""

    role: str
    generation: int
    model: str
    text: str
    seconds: float
    trouble: str = ""


class Crowd:
    """Clients that ask one request after the other, streaming and not, until they are told to stop."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._stop = False
        self.answers: list[Answered] = []

    @asynccontextmanager
    async def asking(self, *, streaming: int, plain: int) -> AsyncIterator[None]:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(trust_env=False, timeout=WITHIN_S, limits=limits) as client:
            kinds = [True] * streaming + [False] * plain
            tasks = [asyncio.create_task(self._ask(client, number, stream)) for number, stream in enumerate(kinds)]
            watching = asyncio.create_task(self._watch())
            try:
                yield
            finally:
                self._stop = True
                await asyncio.gather(*tasks)
                watching.cancel()
                with suppress(asyncio.CancelledError):
                    await watching

    async def _watch(self) -> None:
        while True:
            await self._site.status()
            await asyncio.sleep(0.005)

    async def _ask(self, client: httpx.AsyncClient, number: int, stream: bool) -> None:
        asked = 0
        while not self._stop:
            self.answers.append(await self._one(client, ROLES[(number + asked) % len(ROLES)], stream=stream))
            asked += 1

    async def _one(self, client: httpx.AsyncClient, role: str, *, stream: bool) -> Answered:
        body = {"model": role, "messages": [{"role": "user", "content": "Say hello."}], "stream": stream}
        clock = asyncio.get_running_loop().time
        begun_s = clock()
        generation, model, text, trouble = 0, "", "", ""
        try:
            async with client.stream("POST", f"{self._site.process.base_url}/chat/completions", json=body) as answer:
                content = (await answer.aread()).decode()
                generation = int(answer.headers.get("x-rolegate-generation", 0))
                model = answer.headers.get("x-rolegate-model", "")
                if answer.status_code != 200:
                    trouble = f"{answer.status_code}: {content}"
                elif stream:
                    text, trouble = _streamed(content)
                else:
                    text = json.loads(content)["choices"][0]["message"]["content"]
        except httpx.HTTPError as error:
            trouble = f"{type(error).__name__}: {error}"
        return Answered(
            role=role, generation=generation, model=model, text=text, seconds=clock() - begun_s, trouble=trouble
        )

    @property
    def troubles(self) -> list[str]:
        return [one.trouble for one in self.answers if one.trouble]

    @property
    def mixed(self) -> list[Answered]:
        """Answers of a model that the generation which admitted the request does not have, or of another than they say."""
        return [
            one
            for one in self.answers
            if one.model not in self._site.seen.get(one.generation, {}).get(one.role, [])
            or one.text.strip() != f"Hello from {one.model.removeprefix('ollama:')} ."
        ]


def _streamed(content: str) -> tuple[str, str]:
    """The text of a stream, and what is wrong with it."""
    lines = [line.removeprefix("data: ") for line in content.splitlines() if line.startswith("data: ")]
    if not lines or lines[-1] != "[DONE]":
        return "", f"no clean end: {content[-300:]}"
    chunks = [json.loads(line) for line in lines[:-1]]
    if any("error" in chunk for chunk in chunks):
        return "", content
    return "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"]), ""
