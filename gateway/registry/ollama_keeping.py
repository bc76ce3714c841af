"""What an Ollama host can do to its models, over its native API."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Final

from gateway.domain.keeping import Held, LoadReport, PullStep, UnloadReport, held_as
from gateway.domain.model import Model, Provider
from gateway.domain.ports import KeySource
from gateway.errors import ProviderDown, ProviderFailed, Unsupported
from gateway.registry import tolerant
from gateway.registry.fetch import place
from gateway.registry.ollama_listing import parse_ps
from gateway.registry.ollama_talk import Talk, said, talk

ANSWER_S: Final = 10.0
"""How long a host may take to answer what it can answer at once."""
REMOVE_S: Final = 120.0
SILENCE_S: Final = 120.0
"""How long a pull may say nothing."""
CHECKING_S: Final = 1800.0
"""The same while it compares digests, which for a hundred gigabytes on a slow disk takes long and is silent."""
POLL_S: Final = 0.1

_RESUME: Final = "run it again: it goes on where it stopped"

LoadOptions = Callable[[int | None], Mapping[str, object]]
"""The load-time options of every call to a model, from its context in tokens."""


class OllamaKeeper:
    """One Ollama host. Implements ``ModelKeeper``.

    ``load_options`` are those of the calls that follow a load: other ones would have the server load the model once more.
    """

    def __init__(
        self,
        *,
        provider: Provider,
        load_options: LoadOptions,
        keys: KeySource | None = None,
        answer_s: float = ANSWER_S,
        silence_s: float = SILENCE_S,
        checking_s: float = CHECKING_S,
    ) -> None:
        self._provider = provider
        self._load_options = load_options
        self._keys = keys
        self._answer_s = answer_s
        self._silence_s = silence_s
        self._checking_s = checking_s

    @property
    def provider(self) -> Provider:
        return self._provider

    async def held(self) -> Sequence[Held]:
        """See ``ModelKeeper.held``. A model that is still being loaded is not in it."""
        async with talk(provider=self._provider, keys=self._keys) as host:
            return await self._held(host)

    async def load(
        self, model: Model, *, context_tokens: int | None, keep_alive: str | int | None, within_s: float
    ) -> LoadReport:
        """See ``ModelKeeper.load``. Ollama gives up a load whose caller goes away."""
        self._refuse_cloud(model, "load")
        embeds = model.embeds is True and model.chats is not True
        path = "/api/embed" if embeds else "/api/generate"
        body: dict[str, object] = {"model": model.ref.name, "options": dict(self._load_options(context_tokens))}
        body |= {"input": ""} if embeds else {"stream": False}
        if keep_alive is not None:
            body["keep_alive"] = keep_alive
        now = asyncio.get_running_loop().time
        started_s = now()
        async with talk(provider=self._provider, keys=self._keys) as host:
            before = held_as(model, await self._held(host))
            try:
                async with asyncio.timeout(within_s):
                    await host.json("POST", path, body=body)
            except TimeoutError as error:
                raise self._failed(f"has not loaded {model.ref.name} within {within_s:g} s") from error
            took_s = now() - started_s
            return LoadReport(
                ref=model.ref,
                context_tokens=context_tokens,
                took_s=took_s,
                already=before is not None and context_tokens in (None, before.residency.context_tokens),
                held=held_as(model, await self._held(host)),
            )

    async def unload(self, model: Model, *, within_s: float) -> UnloadReport:
        """See ``ModelKeeper.unload``. Ollama answers at once, whether or not the model is loaded, and lets go of it when its
        requests are done."""
        self._refuse_cloud(model, "unload")
        now = asyncio.get_running_loop().time
        started_s = now()
        async with talk(provider=self._provider, keys=self._keys) as host:
            was_loaded = held_as(model, await self._held(host)) is not None
            await self._let_go(host, model)
            gone = True
            try:
                async with asyncio.timeout(within_s):
                    while held_as(model, await self._held(host)) is not None:  # noqa: ASYNC110  (another server's state)
                        await asyncio.sleep(POLL_S)
            except TimeoutError:
                gone = False
        return UnloadReport(ref=model.ref, took_s=now() - started_s, was_loaded=was_loaded, gone=gone)

    async def remove(self, model: Model) -> None:
        """See ``ModelKeeper.remove``. Deleting a name does not unload what it loaded, so that is let go of first, unless another
        name has the same weights."""
        async with talk(provider=self._provider, keys=self._keys) as host:
            if model.resident is not None and not model.aliases and not model.cloud:
                await self._let_go(host, model)
            try:
                async with asyncio.timeout(REMOVE_S):
                    await host.done("DELETE", "/api/delete", body={"model": model.ref.name})
            except TimeoutError as error:
                raise self._failed(f"has not removed {model.ref.name} within {REMOVE_S:g} s") from error

    async def pull(self, name: str, *, progress: Callable[[PullStep], None]) -> None:
        """Have the host fetch ``name`` from its registry; ``progress`` is called for each line it says.

        A pull that is cancelled or breaks off keeps what has come: the next one goes on from there. Raises ``ProviderFailed``
        with what the host said, ``ProviderDown`` when it does not answer.
        """
        heard = False
        clock = asyncio.get_running_loop().time
        try:
            async with (
                talk(provider=self._provider, keys=self._keys) as host,
                asyncio.timeout(self._silence_s) as limit,
                aclosing(host.lines("/api/pull", body={"model": name, "stream": True})) as lines,
            ):
                async for line in lines:
                    heard = True
                    step = self._step(name, line)
                    progress(step)
                    if step.status == "success":
                        return
                    silence_s = self._checking_s if step.status.startswith("verifying") else self._silence_s
                    limit.reschedule(clock() + silence_s)
        except TimeoutError as error:
            raise self._failed(f"has said nothing of the pull of {name} for too long", hint=_RESUME) from error
        except ProviderDown as error:
            if not heard:
                raise
            raise self._broke_off(name) from error
        raise self._broke_off(name)

    def _step(self, name: str, line: Mapping[str, Any]) -> PullStep:
        told = line.get("error")
        if told:
            words = said(told) if isinstance(told, str) else str(told)
            hint = "check the name and its tag" if "file does not exist" in words else ""
            raise self._failed(f"could not pull {name}: {words}", hint=hint)
        return PullStep(
            status=tolerant.text(line, "status"),
            layer=tolerant.text(line, "digest"),
            done_bytes=tolerant.whole(line, "completed") or 0,
            total_bytes=tolerant.whole(line, "total"),
        )

    async def _let_go(self, host: Talk, model: Model) -> None:
        body = {"model": model.ref.name, "keep_alive": 0, "stream": False}
        await self._at_once(host, "POST", "/api/generate", body=body)

    async def _held(self, host: Talk) -> tuple[Held, ...]:
        answer = await self._at_once(host, "GET", "/api/ps")
        return tuple(
            Held(
                name=loaded.name,
                digest=loaded.digest,
                residency=loaded.residency,
                expires=tolerant.text(entry, "expires_at") or None,
            )
            for entry in tolerant.objects(answer, "models")
            for loaded in parse_ps({"models": [entry]})
        )

    async def _at_once(self, host: Talk, method: str, path: str, *, body: Mapping[str, object] | None = None) -> Any:
        try:
            async with asyncio.timeout(self._answer_s):
                return await host.json(method, path, body=body)
        except TimeoutError as error:
            told = f"{place(self._provider)} does not answer: no answer to {path} within {self._answer_s:g} s"
            raise ProviderDown(told, provider=self._provider.name) from error

    def _refuse_cloud(self, model: Model, verb: str) -> None:
        if model.cloud:
            raise Unsupported(f"{model.ref} is served by Ollama's cloud: there is nothing to {verb} here")

    def _broke_off(self, name: str) -> ProviderDown:
        told = f"{place(self._provider)} broke off the pull of {name}"
        return ProviderDown(told, provider=self._provider.name, hint=_RESUME)

    def _failed(self, what: str, *, hint: str = "") -> ProviderFailed:
        return ProviderFailed(f"{place(self._provider)} {what}", provider=self._provider.name, hint=hint)
