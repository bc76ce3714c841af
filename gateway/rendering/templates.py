"""``router_templates/``: one YAML file for the router and one per kind of deployment, checked and frozen."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from gateway.domain.nearest import nearest_name
from gateway.errors import Problem
from gateway.file_errors import TemplateInvalid
from gateway.rendering.placeholders import placeholders, unclosed
from gateway.rendering.router_settings import PROXY_SECTIONS, ROUTER_SETTINGS
from gateway.rendering.source import Source, child_path, read_source


class DeploymentKind(StrEnum):
    """Which template a deployment is rendered from."""

    OLLAMA = "ollama"
    OLLAMA_EMBEDDING = "ollama-embedding"
    OPENAI = "openai"
    EMBEDDED = "embedded"
    CLOUD = "cloud"


ROUTER_FILE: Final = "router.yaml"
DEPLOYMENT_FILES: Final = {kind: f"deployment.{kind}.yaml" for kind in DeploymentKind}

ROUTER_PLACEHOLDERS: Final = frozenset({"model_list", "fallbacks", "context_window_fallbacks", "gateway_url"})
DEPLOYMENT_PLACEHOLDERS: Final = frozenset(
    {
        "id",
        "group",
        "role",
        "order",
        "mode",
        "provider",
        "model",
        "reference",
        "litellm_name",
        "url",
        "gateway_url",
        "api_key",
        "context_tokens",
        "max_parallel",
        "connect_s",
        "load_s",
        "first_token_s",
        "gap_s",
        "total_s",
    }
)

_DEPLOYMENT_KEYS: Final = frozenset({"model_name", "litellm_params", "model_info"})
_FIXED: Final = {"model_name": "${group}", "litellm_params.order": "${order}", "model_info.id": "${id}"}
"""What failover and the gateway itself find deployments by."""

_SECRET_NAME: Final = re.compile(r"(^|_)(api_key|master_key|salt_key|access_key|password|secret|token|credentials)$")
_REFERENCE: Final = re.compile(r"\$\{[^{}]*\}|os\.environ/.+|none")


@dataclass(frozen=True, slots=True, kw_only=True)
class Templates:
    """Templates that have passed every check. The mappings are read-only all the way down."""

    folder: Path
    router: Mapping[str, object]
    deployments: Mapping[DeploymentKind, Mapping[str, object]]

    @classmethod
    def load(cls, folder: Path) -> "Templates":
        """Read ``folder``. Raises ``TemplateInvalid`` with every problem of every file."""
        if not folder.is_dir():
            found = "a file" if folder.exists() else "no such folder"
            raise TemplateInvalid(
                [Problem(file=str(folder), found=found, allowed="the folder of the router templates")]
            )
        problems = list(_strangers(folder))
        router, faults = read_source(folder / ROUTER_FILE)
        problems += faults if router is None else _router_problems(router)
        deployments: dict[DeploymentKind, Mapping[str, object]] = {}
        for kind, name in DEPLOYMENT_FILES.items():
            source, faults = read_source(folder / name)
            problems += faults if source is None else _deployment_problems(source)
            if source is not None:
                deployments[kind] = source.content
        if problems or router is None:
            raise TemplateInvalid(sorted(problems, key=lambda one: (one.file, one.line or 0)))
        return cls(folder=folder, router=router.content, deployments=deployments)


def _strangers(folder: Path) -> Iterator[Problem]:
    """YAML files that nothing would read: most likely a misspelt name."""
    known = {ROUTER_FILE, *DEPLOYMENT_FILES.values()}
    for path in sorted(folder.iterdir()):
        if path.suffix in {".yaml", ".yml"} and path.name not in known:
            yield Problem(
                file=str(path),
                found="a template that nothing is rendered from",
                allowed=", ".join(sorted(known)),
                nearest=nearest_name(path.name, known),
            )


def _router_problems(source: Source) -> Iterator[Problem]:
    yield from _name_problems(source, source.content, path="", allowed=PROXY_SECTIONS)
    yield from _fixed_problems(source, {"model_list": "${model_list}"})
    for name in ("router_settings", "litellm_settings", "general_settings"):
        yield from _mapping_problems(source, name, required=name == "router_settings")
    settings = source.content.get("router_settings")
    if isinstance(settings, Mapping):
        yield from _name_problems(source, settings, path="router_settings", allowed=ROUTER_SETTINGS)
    yield from _leaf_problems(source, ROUTER_PLACEHOLDERS)


def _deployment_problems(source: Source) -> Iterator[Problem]:
    yield from _name_problems(source, source.content, path="", allowed=_DEPLOYMENT_KEYS)
    for name in ("litellm_params", "model_info"):
        yield from _mapping_problems(source, name, required=True)
    yield from _fixed_problems(source, _FIXED)
    parameters = source.content.get("litellm_params")
    if isinstance(parameters, Mapping):
        model = parameters.get("model")
        named = {one.name for one in placeholders(model)} if isinstance(model, str) else set()
        if not named & {"model", "reference"}:
            yield source.problem(
                "litellm_params.model",
                found=_shown(model) if "model" in parameters else "nothing",
                allowed="LiteLLM's name of the provider, a slash, and ${model} or ${reference}",
            )
    yield from _leaf_problems(source, DEPLOYMENT_PLACEHOLDERS)


def _name_problems(
    source: Source, content: Mapping[str, object], *, path: str, allowed: Collection[str]
) -> Iterator[Problem]:
    for name in content:
        if name not in allowed:
            yield source.problem(
                child_path(path, name),
                found=f'the unknown name "{name}"',
                allowed=", ".join(sorted(allowed)),
                nearest=nearest_name(name, allowed),
            )


def _mapping_problems(source: Source, name: str, *, required: bool) -> Iterator[Problem]:
    if name not in source.content:
        if required:
            yield source.problem(name, found="nothing", allowed="a mapping")
    elif not isinstance(source.content[name], Mapping):
        yield source.problem(name, found=_shown(source.content[name]), allowed="a mapping")


def _fixed_problems(source: Source, fixed: Mapping[str, str]) -> Iterator[Problem]:
    for path, text in fixed.items():
        holder, _, name = path.rpartition(".")
        content = source.content.get(holder) if holder else source.content
        if isinstance(content, Mapping) and content.get(name) != text:
            found = _shown(content[name]) if name in content else "nothing"
            yield source.problem(path, found=found, allowed=f'"{text}"')


def _leaf_problems(source: Source, allowed: Collection[str]) -> Iterator[Problem]:
    for path, name, value in _leaves(source.content, path="", name=""):
        if isinstance(value, str):
            yield from _placeholder_problems(source, path, value, allowed)
        if value is not None and _SECRET_NAME.search(name) and not _REFERENCE.fullmatch(str(value)):
            yield source.problem(
                path, found="a secret written out", allowed='a reference such as "os.environ/NAME", or "none"'
            )


def _placeholder_problems(source: Source, path: str, text: str, allowed: Collection[str]) -> Iterator[Problem]:
    names = ", ".join(f"${{{name}}}" for name in sorted(allowed))
    if unclosed(text):
        yield source.problem(path, found="a placeholder without its closing brace", allowed=names)
    for one in placeholders(text):
        if one.name not in allowed:
            nearest = nearest_name(one.name, allowed)
            yield source.problem(
                path,
                found=f"the unknown placeholder ${{{one.name}}}",
                allowed=names,
                nearest=f"${{{nearest}}}" if nearest else "",
            )
        if not one.default_is_scalar:
            yield source.problem(path, found=f'the default "{one.default}"', allowed="text, a number, true or false")


def _leaves(value: object, *, path: str, name: str) -> Iterator[tuple[str, str, object]]:
    if isinstance(value, Mapping):
        for key, entry in value.items():
            yield from _leaves(entry, path=child_path(path, key), name=key)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for index, entry in enumerate(value):
            yield from _leaves(entry, path=f"{path}[{index}]", name=name)
    else:
        yield path, name, value


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, Sequence):
        return "a list"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
