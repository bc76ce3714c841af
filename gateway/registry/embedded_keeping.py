"""What the embedded engine can do to its models."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from gateway.domain.keeping import Held, LoadReport, UnloadReport, held_as
from gateway.domain.model import Model, Provider, Residency
from gateway.domain.ports import EmbeddedEngine, GgufShelf
from gateway.errors import BadRequest, EngineUnavailable, ModelUnavailable, Unsupported


class EmbeddedKeeper:
    """The embedded engine, whose children live and die with this process. Implements ``ModelKeeper``."""

    def __init__(self, *, provider: Provider, engine: EmbeddedEngine, shelf: GgufShelf) -> None:
        self._provider = provider
        self._engine = engine
        self._shelf = shelf

    @property
    def provider(self) -> Provider:
        return self._provider

    async def held(self) -> Sequence[Held]:
        return tuple(
            Held(
                name=name,
                residency=Residency(size_bytes=size_bytes, size_vram_bytes=0, context_tokens=context_tokens),
            )
            for name, (size_bytes, context_tokens) in self._shelf.resident().items()
        )

    async def load(
        self, model: Model, *, context_tokens: int | None, keep_alive: str | int | None, within_s: float
    ) -> LoadReport:
        """See ``ModelKeeper.load``. The engine keeps what it has loaded for as long as it runs, so there is no ``keep_alive``."""
        if keep_alive is not None:
            raise Unsupported(
                f"{model.ref} stays loaded until it is unloaded: the embedded engine has no keep_alive",
                param="keep_alive",
            )
        clock = asyncio.get_running_loop().time
        started_s = clock()
        before = held_as(model, await self.held())
        had_tokens = None if before is None else before.residency.context_tokens
        try:
            async with asyncio.timeout(within_s):
                await self._engine.endpoint(model.ref.name, context_tokens=context_tokens)
        except TimeoutError as error:
            told = f"{model.ref} was not loaded within {within_s:g} s"
            raise EngineUnavailable(told, provider=self._provider.name) from error
        return LoadReport(
            ref=model.ref,
            context_tokens=context_tokens,
            took_s=clock() - started_s,
            already=before is not None and (context_tokens is None or (had_tokens or 0) >= context_tokens),
            held=held_as(model, await self.held()),
        )

    async def unload(self, model: Model, *, within_s: float) -> UnloadReport:
        """See ``ModelKeeper.unload``. What the model is working on is finished first."""
        clock = asyncio.get_running_loop().time
        started_s = clock()
        was_loaded, gone = model.ref.name in self._engine.running(), True
        try:
            async with asyncio.timeout(within_s):
                await self._engine.retire(model.ref.name)
        except TimeoutError:
            gone = False
        return UnloadReport(ref=model.ref, took_s=clock() - started_s, was_loaded=was_loaded, gone=gone)

    async def remove(self, model: Model) -> None:
        """See ``ModelKeeper.remove``. Only a file that was pulled is deleted, never one that the operator configured by path."""
        files = await asyncio.to_thread(self._shelf.files)
        file = next((one for one in files if one.name == model.ref.name), None)
        if file is None:
            raise ModelUnavailable(f"the embedded engine has no {model.ref.name}", provider=self._provider.name)
        if not file.pullable:
            raise BadRequest(
                f"{model.ref} is the file {file.path} that the configuration names: it was not pulled, so it is not removed",
                hint=f"take it out of local_providers.{self._provider.name}.models, then delete the file yourself",
            )
        await self._engine.stop(model.ref.name)
        try:
            await asyncio.to_thread(Path(file.path).unlink, missing_ok=True)
        except OSError as error:
            told = f"the file {file.path} cannot be deleted: {error.strerror or error}"
            raise ModelUnavailable(told, provider=self._provider.name) from error
