"""Where one request may go."""

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.domain.model import Provider
from gateway.domain.plan import RolePlan
from gateway.domain.ports import CompletionBackend


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """What one request needs to know of the generation it was admitted under.

    ``backend`` is that generation's litellm lane, ``None`` when its plan has no deployment there.
    """

    plan: RolePlan
    providers: Mapping[str, Provider]
    generation: int
    backend: CompletionBackend | None
