"""LiteLLM as imported: once, on our terms, and with account kept of what our Routers add to its process-wide tables."""

import inspect
import logging
import os
import threading
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, wraps
from typing import Any, Final

from gateway.backend.reach import within_reach

_IMPORT_ENVIRONMENT: Final = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
    "LITELLM_MODE": "PRODUCTION",
    "DISABLE_AIOHTTP_TRANSPORT": "False",
    "DISABLE_AIOHTTP_TRUST_ENV": "True",
    "AIOHTTP_TRUST_ENV": "False",
}
"""LiteLLM takes these from the process environment alone. Without the first two it fetches files from the network while it
is imported or used; without the third it loads the first ``.env`` file it finds upwards from where it is installed. With the
others as they are here its connections are made where they are watched, and not to a proxy, which could not be told from an
address that is forbidden."""

LOGGERS: Final = ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy")
"""What its log records come from."""

_NEVER_BEGUN: Final = r"coroutine '\w*(?:Completion|HTTPHandler|Chat|LLM)\..*' was never awaited"
"""LiteLLM prepares a call in a thread, as a coroutine. That of a caller who leaves meanwhile is dropped before it has sent
anything, which Python would report on stderr."""


class Library:
    """The imported module, and who uses which entry of its global price map.

    A Router adds entries to ``litellm.model_cost`` and never takes them back, and two generations share them while one
    drains; so they are counted here, and the last user's discard removes them. ``router`` and ``discard`` may run in any
    thread.

    HTTP clients are LiteLLM's to keep: one for each address and key, whichever Router asks, so that generations share their
    connections, and none can be closed with a generation whose calls may still run. It keeps 200, each for an hour. What it
    drops is closed after a quarter of an hour if it is idle, unless the garbage collector takes it first.
    """

    def __init__(self, module: Any) -> None:
        self.module = module
        self._shipped = frozenset(module.model_cost)
        self._uses: Counter[str] = Counter()
        self._lock = threading.Lock()

    def router(self, model_list: Sequence[Mapping[str, object]]) -> tuple[Any, tuple[str, ...]]:
        """A Router that serves as registry of deployments, and the price map entries it uses.

        It never routes: no retries, no cooling, and the one strategy that leaves nothing behind.
        """
        with self._lock:
            before = set(self.module.model_cost)
            router = self.module.Router(
                model_list=list(model_list),
                routing_strategy="simple-shuffle",
                num_retries=0,
                disable_cooldowns=True,
            )
            added = set(self.module.model_cost) - before
            entries = tuple(sorted((added | _names(model_list) & set(self._uses)) - self._shipped))
            self._uses.update(entries)
        return router, entries

    def discard(self, router: Any, entries: Iterable[str]) -> None:
        """Take a Router out of LiteLLM's callback lists, and its entries out of the price map where no other uses them."""
        with self._lock:
            router.discard()
            self._uses.subtract(entries)
            for name in [name for name, uses in self._uses.items() if uses <= 0]:
                del self._uses[name]
                self.module.model_cost.pop(name, None)


@cache
def load_library() -> Library:
    """Import LiteLLM, which takes seconds: call it off the event loop.

    There is one ``Library`` per process because there is one ``litellm`` per process, and its tables are global.
    """
    os.environ.update(_IMPORT_ENVIRONMENT)
    import litellm
    from litellm.llms.custom_httpx import http_handler
    from litellm.llms.custom_httpx.http_handler import AsyncHTTPHandler, HTTPHandler
    from litellm.llms.openai.common_utils import BaseOpenAILLM

    # Its own handlers write past the log, where nobody masks keys; without them it speaks through ours, if at all.
    for name in LOGGERS:
        logging.getLogger(name).handlers.clear()
    litellm.suppress_debug_info = True  # it prints advice to stdout otherwise
    litellm.DEFAULT_MAX_RETRIES = 0  # an embedding call takes this for a given 0
    warnings.filterwarnings("ignore", _NEVER_BEGUN, RuntimeWarning)
    http_handler.build_aiohttp_keepalive_socket_factory = within_reach(
        http_handler.build_aiohttp_keepalive_socket_factory
    )
    # There is no setting for it: what it builds its HTTP clients with says that they follow redirects, prompt and all.
    for owner, name in (
        (AsyncHTTPHandler, "create_client"),
        (HTTPHandler, "create_client"),
        (BaseOpenAILLM, "_get_async_http_client"),
        (BaseOpenAILLM, "_get_sync_http_client"),
    ):
        _stay(owner, name)
    for made in (litellm.module_level_aclient, litellm.module_level_client):
        made.client.follow_redirects = False
    return Library(litellm)


def _stay(owner: Any, name: str) -> None:
    """Have the HTTP clients that ``owner`` builds go nowhere but to the address they are given."""
    built = inspect.getattr_static(owner, name)
    build = built.__func__ if isinstance(built, staticmethod) else built

    @wraps(build)
    def staying(*given: Any, **named: Any) -> Any:
        client = build(*given, **named)
        if client is not None:
            client.follow_redirects = False
        return client

    setattr(owner, name, staticmethod(staying) if isinstance(built, staticmethod) else staying)


def _names(model_list: Sequence[Mapping[str, object]]) -> set[str]:
    """The price map entries that these deployments may share with those of another Router."""
    names: set[str] = set()
    for entry in model_list:
        parameters, info = entry.get("litellm_params"), entry.get("model_info")
        if isinstance(parameters, Mapping):
            names.add(str(parameters.get("model")))
        if isinstance(info, Mapping):
            names.add(str(info.get("id")))
    return names
