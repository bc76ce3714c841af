"""A server that speaks the native Ollama API over real TCP, as strict and as odd as the real one.

    async with FakeOllama(models=["llama3.1:8b", "gpt-oss:20b"]) as fake:
        fake.url                                        # http://127.0.0.1:<port>
        fake.say("llama3.1:8b", Reply(content=("Hi",)))   # or a function body -> Reply; "" is every model
        fake.fail(faults.reset(after_chunks=1), route="/api/chat", times=1)
        fake.profile.load_s = 0.2                       # HostProfile: load_s, num_parallel, max_loaded, max_queue, …
        fake.runners.gate.clear()                       # hold every load; .set() lets them go on
        fake.runners.loads                              # every load begun: model, num_ctx, reload, outcome
        fake.loaded                                     # names → num_ctx of what is loaded now
        fake.requests, fake.requests_to("/api/show"), fake.connections, fake.active

Models are names of ``fakes.ollama_models.catalogue()`` or ``FakeModel`` values (``alias(model, name, num_ctx=16384)`` makes
one over the same blob). ``fake.models`` is the live mapping: delete or add entries at will. ``fake.pullable`` are the
names that `/api/pull` can fetch. ``fake.cloud`` says what cloud calls meet: ``signed_out``, ``disabled``, ``unreachable``
or ``ok``.
``fake.overrides["/api/tags"]`` replaces an answer by raw bytes, for a server that sends something unexpected.

Standalone, stoppable and startable on one port: ``python tests/fakes/ollama.py --port 11434 --model llama3.1:8b``.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import argparse
import asyncio
import contextlib
import ipaddress
import re
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

from aiohttp import web

from fakes import ollama_decode as wire
from fakes import ollama_openai
from fakes.ollama_listing import details, finished, full_name, listed, registry_name, shown, stub, vector
from fakes.ollama_models import FakeModel, alias, catalogue
from fakes.ollama_runners import HostProfile, Loaded, Runners
from fakes.ollama_speech import (
    as_generate,
    chunks,
    fitted_prompt_tokens,
    gathered,
    image_refusal,
    metrics,
    rfc3339,
)
from fakes.replies import Reply, Script, count_tokens, spoken
from fakes.serving import FakeServer, WireError, compact, compact_json

DEFAULT_MODELS = ("llama3.1:8b", "mistral:latest", "nomic-embed-text:latest")
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(:\d+)?(/[\w.-]+)*(:[\w.-]+)?")
EMBEDDING_REFUSAL = "This server does not support embeddings. Start it with `--embeddings`"


class FakeOllama(FakeServer):
    """See the module's text."""

    def __init__(
        self,
        *,
        models: Iterable[str | FakeModel] = DEFAULT_MODELS,
        host: str = "127.0.0.1",
        port: int = 0,
        profile: HostProfile | None = None,
        version: str = "0.33.0",
    ) -> None:
        super().__init__(host=host, port=port)
        known = catalogue()
        chosen = [known[full_name(one)] if isinstance(one, str) else one for one in models]
        self.models: dict[str, FakeModel] = {model.name: model for model in chosen}
        self.pullable: dict[str, FakeModel] = known
        self.profile = profile or HostProfile()
        self.version = version
        self.cloud = "signed_out"
        self.scripts: dict[str, Script] = {}
        self.overrides: dict[str, bytes] = {}
        self.runners = Runners(host=self.profile, changed=self.changed)
        self._calls = 0

    @property
    def loaded(self) -> dict[str, int]:
        """Names of the loaded runners and their context in tokens."""
        return {runner.model.name: runner.num_ctx for runner in self.runners.by_blob.values()}

    def say(self, model: str, reply: Script) -> None:
        """What ``model`` ("" is every model without its own) answers from now on."""
        self.scripts[full_name(model) if model else ""] = reply

    def reply_for(self, model: FakeModel, body: Mapping[str, Any], *, thinks: bool) -> Reply:
        script = self.scripts.get(model.name) or self.scripts.get("")
        if script is not None:
            return spoken(script, body)
        text = '{"answer": "yes"}' if body.get("format") else f"Hello from {model.name} ."
        return Reply(content=tuple(re.findall(r"\S+\s*", text)), thinking=("Let me ", "think.") if thinks else ())

    async def stop(self) -> None:
        await super().stop()
        self.runners.close()

    def routes(self) -> list[web.RouteDef]:
        native = [
            web.get("/", self._root),
            web.get("/api/version", self._version),
            web.get("/api/status", self._status),
            web.get("/api/tags", self._tags),
            web.get("/api/ps", self._ps),
            web.post("/api/show", self._show),
            web.post("/api/chat", self._chat),
            web.post("/api/generate", self._generate),
            web.post("/api/embed", self._embed),
            web.post("/api/pull", self._pull),
            web.post("/api/copy", self._copy),
            web.post("/api/create", self._create),
            web.delete("/api/delete", self._delete),
        ]
        guarded = [web.route(one.method, one.path, self._guarded(one.handler), **one.kwargs) for one in native]
        compat = ollama_openai.routes(self)
        return guarded + [web.route(one.method, one.path, self._guarded(one.handler), **one.kwargs) for one in compat]

    def refusal(self, error: WireError, *, path: str) -> web.Response:
        if path.startswith("/v1/"):
            return compact_json(ollama_openai.error_body(error), status=error.status)
        return super().refusal(error, path=path)

    def find(self, name: str, *, refusal: WireError | None = None) -> FakeModel:
        """The installed model of that name, case ignored, ``:latest`` filled in; else 404."""
        if name and not _NAME.fullmatch(name):
            raise WireError(400, "invalid model name")
        wanted = full_name(name).casefold()
        for known, model in self.models.items():
            if known.casefold() == wanted:
                return model
        raise refusal or WireError(404, f"model '{name}' not found")

    def proxied(self, name: str) -> bool:
        """Whether requests for ``name`` leave for the cloud."""
        tag = name.rsplit(":", 1)[1].casefold() if ":" in name else ""
        if tag == "cloud" or (tag.endswith("-cloud") and "/" not in tag):
            return True
        found = self.models.get(full_name(name))
        return found is not None and found.remote

    def check_cloud(self, name: str) -> None:
        refusals = {
            "signed_out": WireError(401, "unauthorized", signin_url="https://ollama.com/connect?name=host&key=abc"),
            "disabled": WireError(403, "ollama cloud is disabled: remote inference is unavailable"),
            "unreachable": WireError(502, "error contacting ollama.com"),
        }
        if self.proxied(name) and self.cloud in refusals:
            raise refusals[self.cloud]

    async def native_chunks(
        self, body: Mapping[str, Any], *, verb: str = "chat", capability: str = "completion"
    ) -> AsyncIterator[dict[str, Any]]:
        """Chat chunks for a decoded native request: load what is needed, then answer. Refusals come before the first."""
        name = body["model"]
        self.check_cloud(name)
        model = self.find(name) if not self.proxied(name) else self.models.get(full_name(name)) or stub(name)
        messages = body.get("messages", [])
        if not messages and body.get("keep_alive") == 0:
            self.runners.unload(model)
            yield finished(name, "unload")
            return
        thinks = self._check_abilities(model, name, body, verb=verb, capability=capability)
        options = {**model.parameters, **wire.checked_options(body.get("options", {}))}
        started = time.perf_counter()
        keep_alive, shift = body.get("keep_alive"), body.get("shift")
        remote = {"remote_model": model.remote_model, "remote_host": model.remote_host} if model.remote else {}
        runner: Loaded | None = None
        async with contextlib.AsyncExitStack() as slot:
            num_ctx = model.context_length or 131_072
            if not model.remote:
                using = self.runners.use(model, options=options, keep_alive_s=keep_alive, shift=shift)
                runner = await slot.enter_async_context(using)
                num_ctx = runner.num_ctx
            if not messages:
                yield finished(name, "load")
                return
            wire.check_format(body.get("format"))
            if any(one.get("images") for one in messages) and "vision" not in model.capabilities:
                raise image_refusal(model)
            truncate = body.get("truncate") is not False
            count = fitted_prompt_tokens(model, messages, num_ctx=num_ctx, truncate=truncate, shift=shift is not False)
            reply = self.reply_for(model, body, thinks=thinks)
            first_call, self._calls = self._calls, self._calls + len(reply.tool_calls)
            spoken_chunks = chunks(
                model,
                reply,
                asked_name=name,
                prompt_count=count if reply.prompt_tokens is None else reply.prompt_tokens,
                limit=int(options.get("num_predict", -1)),
                logprobs=bool(body.get("logprobs")),
                top_logprobs=body.get("top_logprobs", 0),
                first_call=first_call,
                started=started,
                loaded=time.perf_counter(),
            )
            async for chunk in spoken_chunks:
                yield {**chunk, **remote}

    def _check_abilities(
        self, model: FakeModel, name: str, body: Mapping[str, Any], *, verb: str, capability: str
    ) -> bool:
        """Whether the answer thinks; raises for what the model cannot do."""
        if not 0 <= body.get("top_logprobs", 0) <= 20:
            raise WireError(400, "top_logprobs must be between 0 and 20")
        if capability not in model.capabilities:
            raise WireError(400, f'"{name}" does not support {verb}')
        if body.get("tools") and "tools" not in model.capabilities:
            raise WireError(400, f"{registry_name(model.name)} does not support tools")
        if body.get("suffix") and "insert" not in model.capabilities:
            raise WireError(400, f"{registry_name(model.name)} does not support insert")
        think = body.get("think")
        if think and "thinking" not in model.capabilities:
            raise WireError(400, f'"{name}" does not support thinking')
        return "thinking" in model.capabilities and think is not False

    def _guarded(self, handler: Any) -> Any:
        async def guarded(request: web.Request) -> web.StreamResponse:
            if not _host_allowed(request.host):
                return web.Response(status=403)
            raw = self.overrides.get(request.path)
            if raw is not None:
                return web.Response(body=raw, content_type="application/json")
            return await handler(request)  # type: ignore[no-any-return]

        return guarded

    async def _root(self, _: web.Request) -> web.Response:
        return web.Response(text="Ollama is running")

    async def _version(self, request: web.Request) -> web.StreamResponse:
        return await self.answer_json(request, {"version": self.version})

    async def _status(self, request: web.Request) -> web.StreamResponse:
        disabled = self.cloud == "disabled"
        told = {"cloud": {"disabled": disabled, "source": "env" if disabled else "none"}}
        return await self.answer_json(request, told)

    async def _tags(self, request: web.Request) -> web.StreamResponse:
        newest_first = sorted(self.models.values(), key=lambda model: model.modified_at, reverse=True)
        return await self.answer_json(request, {"models": [listed(model) for model in newest_first]})

    async def _ps(self, request: web.Request) -> web.StreamResponse:
        runners = sorted(self.runners.by_blob.values(), key=lambda one: one.expires_at, reverse=True)
        return await self.answer_json(request, {"models": [self._resident(one) for one in runners]})

    def _resident(self, runner: Loaded) -> dict[str, Any]:
        model, num_ctx = runner.model, runner.num_ctx
        size = model.size_bytes + model.kv_bytes(num_ctx * self.profile.num_parallel)
        return {
            "name": model.name,
            "model": model.name,
            "size": size,
            "digest": model.digest,
            "details": details(model),
            "expires_at": rfc3339(runner.expires_at),
            "size_vram": int(size * self.profile.gpu),
            "context_length": num_ctx,
        }

    async def _show(self, request: web.Request) -> web.StreamResponse:
        body = wire.decode(await request.read(), wire.SHOW)
        name = body.get("model") or body.get("name") or ""
        if not name:
            raise WireError(400, "model is required")
        return await self.answer_json(request, shown(self.find(name), verbose=body.get("verbose", False)))

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = wire.decode(await request.read(), wire.CHAT)
        if not body.get("model"):
            raise WireError(400, "model is required")
        return await self._respond(request, body, self.native_chunks(body))

    async def _generate(self, request: web.Request) -> web.StreamResponse:
        body = wire.decode(await request.read(), wire.GENERATE)
        if not body.get("model"):
            raise WireError(404, "model '' not found")
        body.setdefault("prompt", "")
        asked = [{"role": "user", "content": body["prompt"], "images": body.get("images", [])}]
        as_chat = {**body, "messages": asked if body["prompt"] or body.get("images") else []}
        flat = (as_generate(chunk) async for chunk in self.native_chunks(as_chat, verb="generate"))
        return await self._respond(request, body, flat, generate=True)

    async def _respond(
        self,
        request: web.Request,
        body: Mapping[str, Any],
        parts: AsyncIterator[dict[str, Any]],
        *,
        generate: bool = False,
    ) -> web.StreamResponse:
        if body.get("stream", True):
            lines = (compact(part) + b"\n" async for part in parts)
            return await self.answer_stream(
                request, lines, content_type="application/x-ndjson", error_chunk=_error_line
            )
        collected = [part async for part in parts]
        if not generate:
            return await self.answer_json(request, gathered(collected))
        whole = dict(collected[-1])
        whole["response"] = "".join(part["response"] for part in collected)
        if thinking := "".join(part.get("thinking", "") for part in collected):
            whole["thinking"] = thinking
        return await self.answer_json(request, whole)

    async def _embed(self, request: web.Request) -> web.StreamResponse:
        return await self.answer_json(request, await self.embedded(wire.decode(await request.read(), wire.EMBED)))

    async def embedded(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The answer of `/api/embed` to a decoded body."""
        started = time.perf_counter()
        name = body.get("model", "")
        if not name:
            raise WireError(404, "model '' not found")
        self.check_cloud(name)
        model = self.find(name, refusal=WireError(404, f'model "{name}" not found, try pulling it first'))
        given = body.get("input", [])
        texts = [given] if isinstance(given, str) and given else given or []
        if not isinstance(texts, list) or not all(isinstance(one, str) for one in texts):
            raise WireError(400, "invalid input type")
        options = wire.checked_options(body.get("options", {}))
        async with self.runners.use(model, options=options, keep_alive_s=body.get("keep_alive"), shift=None) as runner:
            if texts and "embedding" not in model.capabilities:
                raise WireError(501, EMBEDDING_REFUSAL)
            longest = max((count_tokens(one) for one in texts), default=0)
            if body.get("truncate") is False and longest > runner.num_ctx:
                raise WireError(400, "the input length exceeds the context length")
            width = body.get("dimensions") or model.embedding_length
            figures = metrics(
                started=started, loaded=time.perf_counter(), prompt=sum(map(count_tokens, texts)), spoken=0
            )
            kept = {key: value for key, value in figures.items() if key != "prompt_eval_duration"}
            return {"model": name, "embeddings": [vector(one, width) for one in texts], **kept}

    async def _pull(self, request: web.Request) -> web.StreamResponse:
        body = wire.decode(await request.read(), wire.PULL)
        name = body.get("model") or body.get("name") or ""
        if not _NAME.fullmatch(name):
            raise WireError(400, "invalid model name")
        parts = self._pulling(name)
        if body.get("stream", True):
            lines = (compact(part) + b"\n" async for part in parts)
            return await self.answer_stream(
                request, lines, content_type="application/x-ndjson", error_chunk=_error_line
            )
        return await self.answer_json(request, [part async for part in parts][-1])

    async def _pulling(self, name: str) -> AsyncIterator[dict[str, Any]]:
        yield {"status": "pulling manifest"}
        model = self.pullable.get(full_name(name))
        if model is None:
            raise WireError(500, "pull model manifest: file does not exist")
        layer = {"status": f"pulling {model.blob[:12]}", "digest": f"sha256:{model.blob}", "total": model.size_bytes}
        yield layer
        for part in range(1, 5):
            await asyncio.sleep(self.profile.load_s / 4)
            yield {**layer, "completed": model.size_bytes * part // 4}
        yield {"status": "verifying sha256 digest"}
        yield {"status": "writing manifest"}
        self.models[model.name] = model
        yield {"status": "success"}

    async def _copy(self, request: web.Request) -> web.StreamResponse:
        body = wire.decode(await request.read(), wire.COPY)
        source, target = body.get("source", ""), full_name(body.get("destination", ""))
        self.models[target] = alias(self.find(source), target)
        return web.Response()

    async def _create(self, request: web.Request) -> web.StreamResponse:
        body = wire.decode(await request.read(), wire.CREATE)
        target = full_name(body.get("model", ""))
        self.models[target] = alias(self.find(body.get("from", "")), target, **body.get("parameters", {}))
        return await self.answer_json(request, {"status": "success"})

    async def _delete(self, request: web.Request) -> web.StreamResponse:
        body = wire.decode(await request.read(), wire.DELETE)
        model = self.find(body.get("model") or body.get("name") or "")
        del self.models[model.name]
        return web.Response()


def _host_allowed(header: str) -> bool:
    host = header.rsplit(":", 1)[0] if not header.endswith("]") else header
    host = host.strip("[]").casefold()
    if host in ("", "localhost") or host.endswith((".local", ".internal", ".localhost")):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_private


def _error_line(error: WireError) -> bytes:
    return compact(error.payload) + b"\n"


def main() -> None:
    parser = argparse.ArgumentParser(description="A server that speaks the native Ollama API, for tests.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=11434)
    parser.add_argument("--model", action="append", help="a catalogue name; may be repeated")
    parser.add_argument("--load-s", type=float, default=0.0, help="seconds a load takes")
    parser.add_argument("--num-parallel", type=int, default=1)
    parser.add_argument("--max-loaded", type=int, default=3)
    parser.add_argument("--default-num-ctx", type=int, default=4096)
    parser.add_argument("--gap-s", type=float, default=0.0, help="seconds between chunks")
    parser.add_argument("--list", action="store_true", help="print the catalogue and end")
    asked = parser.parse_args()
    if asked.list:
        sys.stdout.write("\n".join(catalogue()) + "\n")
        return
    profile = HostProfile(
        load_s=asked.load_s,
        num_parallel=asked.num_parallel,
        max_loaded=asked.max_loaded,
        default_num_ctx=asked.default_num_ctx,
    )
    fake = FakeOllama(models=asked.model or DEFAULT_MODELS, host=asked.host, port=asked.port, profile=profile)
    if asked.gap_s:
        fake.say("", Reply(content=("Hello ", "from ", "a ", "slow ", "model."), gap_s=asked.gap_s))
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(fake.serve_forever())


if __name__ == "__main__":
    main()
