"""`python leaking_gateway.py python -m gateway …` runs the gateway with every logger at debug level, and with a fault of its own:
a request that says "crash" meets an exception with the provider's key in its text and in its frames."""

import logging
import sys
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from gateway.backend.router import LiteLLMBackend
from gateway.cli.app import main

_set_level = logging.Logger.setLevel
_stream = LiteLLMBackend.stream


def _all(self: logging.Logger, level: int | str) -> None:
    _set_level(self, logging.DEBUG)


async def _crashing(
    self: LiteLLMBackend, *, body: Mapping[str, Any], **named: Any
) -> AsyncGenerator[Mapping[str, object], None]:
    if "crash" in str(body["messages"]):
        found = [dict(one.arguments) for one in self._calls.values()]
        raise RuntimeError(f"made up: {found}")
    async for chunk in _stream(self, body=body, **named):
        yield chunk


if __name__ == "__main__":
    logging.Logger.setLevel = _all  # type: ignore[method-assign]
    logging.getLogger().setLevel(logging.DEBUG)
    LiteLLMBackend.stream = _crashing  # type: ignore[method-assign]
    sys.argv = ["rolegate", *sys.argv[4:]]
    sys.exit(main())
