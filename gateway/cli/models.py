"""`rolegate models`: what exists, and what is known of it."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import typer

from gateway.cli import keeping
from gateway.cli.command import Call, add_command, add_group
from gateway.cli.keeping import Reference
from gateway.cli.named import unknown
from gateway.cli.tables import Cell, Column, Table
from gateway.errors import NoModelForRole

if TYPE_CHECKING:
    from gateway.compose import Survey
    from gateway.domain.fit import MemoryNeed
    from gateway.domain.model import Model
    from gateway.domain.ports import ProviderState

LISTED_CONTEXT_TOKENS: Final = 8_192
"""The context at which the list shows memory."""

DIGEST_SHOWN: Final = 12
"""How many digits of a digest a person gets to see."""

_SCORES: Final[Mapping[str, str]] = {
    "reasoning_strength": "REASON",
    "coding_strength": "CODE",
    "creativity": "CREATE",
    "multilingual_score": "LANG",
    "tool_calling": "TOOLS",
}


def add_to(app: typer.Typer) -> None:
    group = add_group(app, name="models", about="The models that exist, and what is known of them.")
    add_command(group, list_models, name="list")
    add_command(group, show, name="show")
    add_command(group, validate, name="validate")
    keeping.add_to(group)


def list_models(call: Call) -> None:
    """Every model of every provider."""
    survey = call.survey(call.workspace())
    models = sorted(survey.discovery.models, key=lambda one: str(one.ref))
    if call.console.json:
        call.console.value(
            {
                "providers": [_provider_data(one) for one in survey.discovery.providers],
                "models": [_listed_data(one) for one in models],
            }
        )
        return
    call.console.table(_list_table(models))


def show(call: Call, *, model: Reference) -> None:
    """All that is known of one model, and where from."""
    survey = call.survey(call.workspace())
    found = _find(model, survey=survey)
    if call.console.json:
        from gateway.runtime.keeping_data import capability_data

        call.console.value({**_listed_data(found), "capabilities": capability_data(found), "warnings": found.warnings})
        return
    console = call.console
    console.line(Cell(text=str(found.ref), style="bold"), _kind(found), f"lane {found.lane.value}")
    if found.digest:
        console.line("digest", found.digest.removeprefix("sha256:")[:DIGEST_SHOWN], indent=2)
    if found.aliases:
        console.line("also called", ", ".join(sorted(found.aliases)), indent=2)
    need = _memory(found)
    console.line("memory", f"{need.arithmetic} at {need.context_tokens:,} tokens", indent=2)
    if found.speed_tokens_s is not None:
        console.line("speed", f"{found.speed_tokens_s:.3g} tokens/s, measured here", indent=2)
    console.text("")
    console.table(_capability_table(found))
    console.warn(found.warnings)
    state = next(one for one in survey.discovery.providers if one.provider.name == found.ref.provider)
    if not state.up:
        console.talk(f"{state.provider.name} is down: this is what was last known of it")


def validate(call: Call) -> int:
    """Check that the configuration's references lead to models.

    Shows every reference without a model, and every declared fact that a server contradicts. These are warnings; the exit code
    is 4 only when a role is left without any model.
    """
    from gateway.domain.candidates import Directory
    from gateway.domain.plan import Via

    survey = call.survey(call.workspace())
    directory = Directory(survey.discovery)
    missing = [
        {"where": where, "reference": text, "problem": directory.candidate(text, via=Via.PREFERRED).reason}
        for where, text in _references(survey)
        if directory.find(text) is None
    ]
    contradicted = [
        {"model": str(one.ref), "warning": warning} for one in survey.discovery.models for warning in one.warnings
    ]
    degraded = survey.selection.plan.degraded
    if call.console.json:
        call.console.value({"missing": missing, "contradicted": contradicted, "roles_without_model": degraded})
    else:
        for one in missing:
            call.console.line(Cell(text=one["where"], style="bold"), f'"{one["reference"]}": {one["problem"]}')
        for other in contradicted:
            call.console.line(Cell(text=other["model"], style="bold"), other["warning"])
        call.console.talk(*(f"no model can serve {name} (`rolegate explain {name}` says why)" for name in degraded))
        if not (missing or contradicted or degraded):
            call.console.talk("every reference leads to a model, and no declared fact is contradicted")
    return NoModelForRole.exit_code if degraded else 0


def _find(text: str, *, survey: "Survey") -> "Model":
    """The model of a reference; a bare name may also be that of just one model, on whatever provider."""
    from gateway.domain.candidates import Directory

    models = survey.discovery.models
    found = Directory(survey.discovery).find(text)
    if found is not None:
        return found
    same_name = [one for one in models if text == one.ref.name or text in one.aliases]
    if len(same_name) == 1:
        return same_name[0]
    raise unknown("model", text, known=[str(one.ref) for one in models])


def _references(survey: "Survey") -> list[tuple[str, str]]:
    """Every reference written in the configuration, with its set path."""
    from gateway.config.set_path import format_set_path

    configuration = survey.configuration
    lists: list[tuple[tuple[str, ...], Sequence[str]]] = []
    for name, role in configuration.roles.items():
        lists.append((("role_mappings", name, "preferred"), role.preferred))
        lists.append((("role_mappings", name, "cloud_fallback"), role.cloud_fallback))
    lists.append((("selection", "system_default"), configuration.policy.system_default))
    found = [(format_set_path((*path, place)), text) for path, texts in lists for place, text in enumerate(texts)]
    return [*found, *((format_set_path(("model_profiles", text)), text) for text in configuration.declared)]


def _provider_data(state: "ProviderState") -> dict[str, object]:
    provider = state.provider
    return {
        "name": provider.name,
        "kind": provider.kind.value,
        "url": provider.url,
        "up": state.up,
        "error": state.error,
        "version": state.version,
        "warnings": list(state.warnings),
    }


def _kind(model: "Model") -> str:
    kind = "embedding" if model.embeds and not model.chats else "chat" if model.chats else "unknown"
    return f"cloud {kind}" if model.cloud else kind


def _memory(model: "Model") -> "MemoryNeed":
    from gateway.domain.fit import context_for, memory_need

    return memory_need(model, context_tokens=context_for(model, need_tokens=LISTED_CONTEXT_TOKENS))


def _listed_data(model: "Model") -> dict[str, object]:
    known = model.capabilities
    resident = model.resident
    return {
        "model": str(model.ref),
        "provider": model.ref.provider,
        "provider_up": model.provider_up,
        "kind": _kind(model),
        "lane": model.lane.value,
        "size_b": known.model_size.value if known.model_size else None,
        "quantization": known.quantization_level.value if known.quantization_level else None,
        "context_length": known.context_length.value if known.context_length else None,
        "memory_bytes": None if model.cloud else _memory(model).total_bytes,
        "speed_tokens_s": model.speed_tokens_s,
        "resident": resident and {"bytes": resident.size_bytes, "context": resident.context_tokens},
        "digest": model.digest or None,
        "aliases": sorted(model.aliases),
        "scores": {name: fact.value if (fact := getattr(known, name)) else None for name in _SCORES},
    }


def _list_table(models: "list[Model]") -> Table:
    return Table(
        columns=(
            Column(title="MODEL", wraps=True, least=36),
            Column(title="KIND"),
            Column(title="SIZE", right=True, spare=3),
            Column(title="QUANT", spare=4),
            Column(title="CONTEXT", right=True, spare=1),
            Column(title="MEMORY AT 8K", right=True, spare=2),
            Column(title="LOADED", spare=5),
            *(Column(title=title, right=True, spare=6) for title in _SCORES.values()),
        ),
        rows=tuple(_list_row(one) for one in models),
        empty="no provider has a model",
    )


def _list_row(model: "Model") -> tuple[Cell | str, ...]:
    from gateway.domain.fit import gigabytes

    known = model.capabilities
    need = None if model.cloud else _memory(model).total_bytes
    return (
        Cell(text=str(model.ref), style="bold" if model.provider_up else "dim"),
        _kind(model) if model.provider_up else f"{_kind(model)}, down",
        "-" if known.model_size is None else f"{known.model_size.value:.3g}B",
        "-" if known.quantization_level is None else known.quantization_level.value,
        "-" if known.context_length is None else f"{known.context_length.value:,}",
        "-" if need is None else gigabytes(need),
        "yes" if model.resident else "",
        *("-" if (fact := getattr(known, name)) is None else f"{fact.value:.2f}" for name in _SCORES),
    )


def _capability_table(model: "Model") -> Table:
    from gateway.domain.capabilities import CAPABILITY_FIELDS

    facts = ((name, getattr(model.capabilities, name)) for name in CAPABILITY_FIELDS)
    return Table(
        columns=(
            Column(title="FIELD"),
            Column(title="VALUE"),
            Column(title="ORIGIN"),
            Column(title="CONFIDENCE", right=True, spare=1),
            Column(title="TIER", spare=2),
            Column(title="SOURCE", wraps=True),
        ),
        rows=tuple(
            (name, Cell(text="unknown", style="dim"), "-", "-", "-", "-")
            if fact is None
            else (
                name,
                _plain(fact.value),
                fact.origin.value,
                f"{fact.confidence:.2f}",
                fact.tier or "-",
                fact.source or "-",
            )
            for name, fact in facts
        ),
    )


def _plain(value: object) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:.4g}"
        case _:
            return str(value)
