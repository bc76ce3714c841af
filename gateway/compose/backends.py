"""LiteLLM for the generations that need it."""

import logging
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from gateway.domain.ports import CompletionBackend, KeySource

if TYPE_CHECKING:
    from gateway.backend.sharing import SharedBackends

_log = logging.getLogger(__name__)


class Backends:
    """Makes the backend of a rendered configuration: a share in that of an earlier generation which would build the same, else a
    new one. What it takes for that is imported when it is first needed."""

    def __init__(self, *, keys: KeySource) -> None:
        self._keys = keys
        self._shared: SharedBackends | None = None

    def build(self, rendered: Mapping[str, object]) -> CompletionBackend:
        """See ``Effects.build_backend``."""
        from gateway.backend.sharing import SharedBackends

        if self._shared is None:
            self._shared = SharedBackends(keys=self._keys)
        started, before = time.monotonic(), self._shared.built
        share = self._shared.take(rendered)
        if self._shared.built > before:
            _log.info("litellm is ready", extra={"ms": round((time.monotonic() - started) * 1000)})
        return share
