"""Plans for tests of what is rendered from them, and keys for what is called."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from builders import a_provider
from gateway.domain.model import Lane, ModelRef, Provider, ProviderKind
from gateway.domain.plan import Deployment, Plan, RolePlan, Via
from gateway.domain.role import Deadlines, Task
from gateway.domain.secret import Secret

ROUTER_TEMPLATES: Final = Path(__file__).parent.parent / "router_templates"


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownKeys:
    """A key source with these keys and no others."""

    by_provider: Mapping[str, str] = field(default_factory=dict)

    def key(self, provider: str) -> Secret | None:
        text = self.by_provider.get(provider)
        return None if text is None else Secret(text)


def a_deployment(
    reference: str, *, order: int = 1, lane: Lane = Lane.OLLAMA, cloud: bool = False, context: int | None = 8192
) -> Deployment:
    provider, _, name = reference.partition(":")
    return Deployment(
        ref=ModelRef(provider=provider, name=name),
        lane=lane,
        order=order,
        cloud=cloud,
        via=Via.CLOUD if cloud else Via.PREFERRED,
        context_tokens=None if cloud else context,
    )


def a_cloud_deployment(reference: str, *, order: int = 1) -> Deployment:
    return a_deployment(reference, order=order, lane=Lane.LITELLM, cloud=True)


def a_role_plan(
    role: str,
    *deployments: Deployment,
    task: Task = Task.CHAT,
    parameters: Mapping[str, object] | None = None,
    deadlines: Deadlines | None = None,
) -> RolePlan:
    return RolePlan(
        role=role,
        task=task,
        deployments=deployments,
        parameters=dict(parameters or {}),
        deadlines=deadlines or Deadlines(),
    )


def a_plan(*roles: RolePlan) -> Plan:
    return Plan(roles={role.role: role for role in roles})


def by_name(providers: Iterable[Provider]) -> dict[str, Provider]:
    return {provider.name: provider for provider in providers}


def a_cloud_provider(name: str, *, url: str | None = None, litellm_name: str | None = None) -> Provider:
    return a_provider(
        name,
        kind=ProviderKind.CLOUD,
        url=url,
        key_variable=f"{name.upper()}_API_KEY",
        has_key=True,
        litellm_name=litellm_name or name,
    )
