"""``POST /admin/v1/explain/{role}``: every candidate of a role with its verdict, as the live gateway sees the world."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.api.admin_body import only_fields, read_content
from gateway.errors import BadRequest
from gateway.relay.fields import Check, a_boolean, a_number, a_whole_number, check_fields

BODY_LIMIT_BYTES: Final = 64 << 10
MOST_GB: Final = 100_000

_FEATURES: Final[Mapping[str, str]] = MappingProxyType(
    {"tools": "supports_tools", "vision": "supports_vision", "json_schema": "supports_json_schema"}
)
_CHECKS: Final[Mapping[str, Check]] = MappingProxyType(
    {
        **dict.fromkeys(_FEATURES, a_boolean()),
        "context": a_whole_number(1),
        "profile": ("the name of a profile", lambda value: isinstance(value, str) and bool(value)),
        "memory_gb": a_number(0, MOST_GB),
        "vram_gb": a_number(0, MOST_GB),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is to be explained: a role, with what a request would ask of it besides, and with what is to be assumed.

    ``features`` are capability fields; ``profile`` is ``None`` for the one that serves; memory is in GB, ``None`` as measured.
    """

    role: str
    features: tuple[str, ...] = ()
    context_tokens: int | None = None
    profile: str | None = None
    memory_gb: float | None = None
    vram_gb: float | None = None

    @classmethod
    def parse(cls, role: str, content: Mapping[str, object]) -> "Question":
        """``null`` counts as not given. Raises ``BadRequest`` with what is allowed."""
        told = only_fields(content, known=tuple(_CHECKS))
        check_fields(told, _CHECKS)
        context, profile = told.get("context"), told.get("profile")
        return cls(
            role=role,
            features=tuple(feature for name, feature in _FEATURES.items() if told.get(name)),
            context_tokens=context if isinstance(context, int) else None,
            profile=profile if isinstance(profile, str) else None,
            memory_gb=_number(told.get("memory_gb")),
            vram_gb=_number(told.get("vram_gb")),
        )


class Explainer(Protocol):
    """Decides anew for one role, without changing anything."""

    def explain(self, question: Question) -> Mapping[str, object]:
        """``{"role", "task", "deployments", "candidates"}``. Blocks. Raises ``UnknownName`` for a role that there is not,
        ``ConfigInvalid`` for a profile that cannot be used, ``GatewayStarting``."""


class Explanations:
    def __init__(self, *, explainer: Explainer) -> None:
        self._explainer = explainer

    async def explain(self, request: Request) -> Response:
        """The body may be empty."""
        if request.query_params:
            raise BadRequest(
                "what is asked goes into the body, as a JSON object", param=next(iter(request.query_params))
            )
        content = await read_content(request, limit_bytes=BODY_LIMIT_BYTES)
        question = Question.parse(request.path_params["role"], content)
        return JSONResponse(await asyncio.to_thread(self._explainer.explain, question))


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
