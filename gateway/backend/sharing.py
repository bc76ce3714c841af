"""One Router for all generations that would build the same."""

import hashlib
import json
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass

from gateway.backend.router import LiteLLMBackend, lane_entries, provider_of
from gateway.domain.model import ModelRef
from gateway.domain.ports import KeySource


@dataclass(slots=True, kw_only=True, eq=False)
class _Shared:
    """A backend and how many hold it."""

    backend: LiteLLMBackend
    identity: str
    holders: int = 0


class SharedBackends:
    """Builds backends, and hands the same one to whoever asks for what is there already.

    What is asked for is the same where the deployments on the litellm lane are rendered alike, in the same order, and have the
    same keys: nothing else goes into a Router but the environment of the process, which stays as it is. ``take`` may run in
    any thread.
    """

    def __init__(self, *, keys: KeySource) -> None:
        self._keys = keys
        self._lock = threading.Lock()
        self._latest: dict[str, _Shared] = {}
        self.built = 0
        """How many backends were built so far."""

    def take(self, config: Mapping[str, object]) -> "Share":
        """A share in the backend of a rendered configuration, which has to be closed. Blocks where it has to be built, as
        ``LiteLLMBackend.build`` does."""
        identity = _identity(config, keys=self._keys)
        with self._lock:
            shared = self._latest.get(identity)
            if shared is not None:
                shared.holders += 1
        if shared is None:
            backend = LiteLLMBackend.build(config, keys=self._keys)
            shared = _Shared(backend=backend, identity=identity, holders=1)
            with self._lock:
                self._latest[identity] = shared
                self.built += 1
        return Share(backend=shared.backend, let_go=lambda: self._let_go(shared))

    def _let_go(self, shared: _Shared) -> bool:
        """One holder fewer; whether it was the last."""
        with self._lock:
            shared.holders -= 1
            if shared.holders:
                return False
            if self._latest.get(shared.identity) is shared:
                del self._latest[shared.identity]
            return True


class Share:
    """One generation's hold on a backend. Implements ``CompletionBackend``."""

    def __init__(self, *, backend: LiteLLMBackend, let_go: Callable[[], bool]) -> None:
        self.backend = backend
        self._let_go = let_go
        self._closed = False

    def stream(
        self, *, role: str, ref: ModelRef, body: Mapping[str, object], connect_s: float, total_s: float
    ) -> AsyncIterator[Mapping[str, object]]:
        """See ``CompletionBackend.stream``."""
        return self.backend.stream(role=role, ref=ref, body=body, connect_s=connect_s, total_s=total_s)

    async def embed(
        self, *, role: str, ref: ModelRef, body: Mapping[str, object], connect_s: float, total_s: float
    ) -> Mapping[str, object]:
        """See ``CompletionBackend.embed``."""
        return await self.backend.embed(role=role, ref=ref, body=body, connect_s=connect_s, total_s=total_s)

    async def close(self) -> None:
        """Give it back: the last to do so discards the Router. A second close does nothing."""
        if self._closed:
            return
        self._closed = True
        if self._let_go():
            await self.backend.close()


def _identity(config: Mapping[str, object], *, keys: KeySource) -> str:
    """A digest of all that a backend is made of. The keys are in it, and cannot be read out of it."""
    entries = lane_entries(config)
    providers = sorted({provider for entry in entries if (provider := provider_of(entry)) is not None})
    known = {name: key.reveal() for name in providers if (key := keys.key(name))}
    told = json.dumps([entries, known], default=repr)
    return hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()
