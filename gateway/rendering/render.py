"""From a plan and templates to the configuration of a LiteLLM router: plain data, the same for the same plan."""

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy

from gateway.domain.model import Lane, Provider, ProviderKind
from gateway.domain.plan import Deployment, Plan, RolePlan
from gateway.domain.request_fields import REQUEST_FIELDS
from gateway.domain.role import Task
from gateway.errors import Problem
from gateway.file_errors import ConfigInvalid
from gateway.rendering.names import MARK, cloud_group, deployment_id
from gateway.rendering.placeholders import fill
from gateway.rendering.templates import DeploymentKind, Templates


def render(
    *, plan: Plan, providers: Mapping[str, Provider], templates: Templates, gateway_url: str
) -> dict[str, object]:
    """The configuration that stock ``litellm --config`` serves and ``router_arguments`` turns into Router arguments.

    ``providers`` holds every provider that the plan names, by name; ``gateway_url`` is where this gateway answers, without
    ``/v1``. Keys are ``os.environ/NAME`` references. A role without deployments is left out. Raises ``ConfigInvalid`` when a
    role is named like the cloud group of another.
    """
    url = gateway_url.rstrip("/")
    model_list: list[object] = []
    fallbacks: list[object] = []
    for name in sorted(plan.roles):
        role = plan.roles[name]
        groups = _groups(role)
        for group, members in groups.items():
            model_list += _members(
                role=role, group=group, members=members, providers=providers, templates=templates, gateway_url=url
            )
        if len(groups) > 1:
            if cloud_group(name) in plan.roles:
                raise ConfigInvalid([_taken(name)])
            fallbacks.append({name: [cloud_group(name)]})
    values = {
        "model_list": model_list,
        "fallbacks": fallbacks,
        "context_window_fallbacks": deepcopy(fallbacks),
        "gateway_url": url,
    }
    return _mapping(fill(templates.router, values))


def router_arguments(config: Mapping[str, object]) -> dict[str, object]:
    """The keyword arguments with which ``litellm.Router`` serves a rendered configuration as the stock proxy would."""
    copied = deepcopy(dict(config))
    return {"model_list": copied["model_list"], **_mapping(copied["router_settings"])}


def _groups(role: RolePlan) -> dict[str, tuple[Deployment, ...]]:
    """Group name to members in their order; a role with cloud only is one group under its own name."""
    ordered = sorted(role.deployments, key=lambda one: one.order)
    local = tuple(one for one in ordered if not one.cloud)
    cloud = tuple(one for one in ordered if one.cloud)
    if local and cloud:
        return {role.role: local, cloud_group(role.role): cloud}
    return {role.role: tuple(ordered)}


def _members(
    *,
    role: RolePlan,
    group: str,
    members: Sequence[Deployment],
    providers: Mapping[str, Provider],
    templates: Templates,
    gateway_url: str,
) -> Iterator[dict[str, object]]:
    for order, deployment in enumerate(members, start=1):
        provider = providers[deployment.ref.provider]
        values = _values(role=role, deployment=deployment, provider=provider)
        values |= {"group": group, "order": order, "gateway_url": gateway_url}
        filled = _mapping(fill(templates.deployments[_kind(provider=provider, task=role.task)], values))
        defaults = {name: _plain(value) for name, value in role.parameters.items() if name in REQUEST_FIELDS}
        filled["litellm_params"] = {**defaults, **_mapping(filled["litellm_params"])}
        mark = {
            "role": role.role,
            "model": str(deployment.ref),
            "provider": provider.name,
            "lane": deployment.lane.value,
            **({"local": True} if deployment.lane is Lane.LITELLM and not provider.cloud else {}),
        }
        filled["model_info"] = {**_mapping(filled["model_info"]), MARK: mark}
        yield filled


def _kind(*, provider: Provider, task: Task) -> DeploymentKind:
    if provider.kind is ProviderKind.OLLAMA:
        return DeploymentKind.OLLAMA_EMBEDDING if task is Task.EMBEDDING else DeploymentKind.OLLAMA
    return DeploymentKind(provider.kind.value)


def _values(*, role: RolePlan, deployment: Deployment, provider: Provider) -> dict[str, object]:
    deadlines = role.deadlines
    return {
        "id": deployment_id(role=role.role, ref=deployment.ref),
        "role": role.role,
        "mode": role.task.value,
        "provider": provider.name,
        "model": deployment.ref.name,
        "reference": str(deployment.ref),
        "litellm_name": provider.litellm_name or None,
        "url": provider.url,
        "api_key": _key_reference(provider),
        "context_tokens": deployment.context_tokens,
        "max_parallel": provider.max_parallel,
        "connect_s": deadlines.connect_s,
        "load_s": deadlines.load_s,
        "first_token_s": deadlines.first_token_s,
        "gap_s": deadlines.gap_s,
        "total_s": deadlines.total_s,
    }


def _key_reference(provider: Provider) -> str | None:
    """Where the key is. A local server without one asks for none, and a reference to nothing would fail at the call."""
    if provider.key_variable and (provider.cloud or provider.has_key):
        return f"os.environ/{provider.key_variable}"
    return None


def _taken(role: str) -> Problem:
    group = cloud_group(role)
    return Problem(
        file="role_mappings",
        key_path=f'role_mappings["{group}"]',
        found=f'a role named "{group}"',
        allowed=f'any other name: the cloud models of "{role}" are rendered as the group "{group}"',
    )


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(entry) for entry in value]
    return value


def _mapping(value: object) -> dict[str, object]:
    """``value``, which the checks on templates have left no chance to be anything but a mapping."""
    if not isinstance(value, dict):
        raise TypeError(f"a mapping was rendered as {type(value).__name__}")
    return value
