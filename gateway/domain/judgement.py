"""One candidate judged for one role: the checks in the order of ``Verdict``; the first that applies is the verdict. Only whether
a cloud model is named at all is asked before them: nothing else matters of one that is not."""

from collections.abc import Callable, Iterator
from typing import Final

from gateway.domain.candidates import Absence, Candidate
from gateway.domain.capabilities import Fact
from gateway.domain.case import Case, Judgement, Notes, World
from gateway.domain.fit import (
    MemoryNeed,
    gigabytes,
    resident_at,
    takes_no_memory_of_ours,
    trained_context_tokens,
)
from gateway.domain.model import Model
from gateway.domain.plan import Via
from gateway.domain.role import Role, Task
from gateway.domain.scoring import meets, rounded_score
from gateway.domain.trace import Verdict

HOT_SENSITIVITY: Final = 0.5
"""From this thermal sensitivity on, a model is not started on a hot machine."""


_Check = Callable[[Case, Notes], tuple[Verdict, str] | None]


def judge(candidate: Candidate, *, role: Role, task: Task, world: World) -> Judgement:
    """The verdict on one candidate for one role, at the role's own context need."""
    if candidate.model is None:
        absent = candidate.absence is Absence.PROVIDER_DOWN
        verdict = Verdict.PROVIDER_DOWN if absent else Verdict.NOT_INSTALLED
        return Judgement(verdict=verdict, reason=candidate.reason)
    case = Case(model=candidate.model, role=role, task=task, via=candidate.via, named=candidate.named, world=world)
    notes = Notes(warnings=list(candidate.model.warnings))
    for check in _CHECKS:
        ruled_out = check(case, notes)
        if ruled_out is not None:
            verdict, reason = ruled_out
            return Judgement(verdict=verdict, reason=reason, numbers=notes.numbers, warnings=tuple(notes.warnings))
    return Judgement(
        verdict=Verdict.OK, reason=_why_ok(case, notes), numbers=notes.numbers, warnings=tuple(notes.warnings)
    )


def _provider_up(case: Case, notes: Notes) -> tuple[Verdict, str] | None:
    if case.model.provider_up:
        return None
    state = case.world.directory.states[case.provider_name]
    return Verdict.PROVIDER_DOWN, state.error or f"{case.provider_name} does not answer"


def _task(case: Case, notes: Notes) -> tuple[Verdict, str] | None:
    model = case.model
    if case.task is Task.EMBEDDING:
        if model.embeds and not model.chats:
            return None
        if model.embeds is None and case.named:
            notes.warnings.append("the server does not say whether it embeds")
            return None
        return Verdict.REQUIREMENT_NOT_MET, "the role's task is embedding, and this is no embedding model"
    if model.chats:
        return None
    if model.chats is None and case.named:
        notes.warnings.append("the server does not say whether it can chat")
        return None
    if model.chats is None:
        return Verdict.NOT_CHAT_CAPABLE, "the server does not say whether it can chat, and the operator did not name it"
    what = "an embedding model" if model.embeds else "not a chat model"
    return Verdict.NOT_CHAT_CAPABLE, f"it is {what}"


def _requirements(case: Case, notes: Notes) -> tuple[Verdict, str] | None:
    for shortfall in (*_scores(case, notes), *_features(case, notes)):
        return Verdict.REQUIREMENT_NOT_MET, shortfall
    return None


def _scores(case: Case, notes: Notes) -> Iterator[str]:
    for ability, least in sorted(case.role.requirements.scores.items()):
        fact: Fact[float] | None = getattr(case.model.capabilities, ability)
        if fact is None:
            notes.numbers[ability] = None
            if case.named:
                notes.warnings.append(f"its {ability} is unknown; at least {least:.2f} is asked for")
                continue
            yield f"its {ability} is unknown, and the role asks for at least {least:.2f}"
            continue
        notes.numbers[ability] = rounded_score(fact.value)
        if meets(score=fact.value, least=least):
            continue
        shortfall = f"{ability} {fact.value:.2f} ({fact.origin.value}) is under the {least:.2f} that the role asks for"
        if case.via is Via.SYSTEM_DEFAULT:
            notes.excused.append(shortfall)
        else:
            yield shortfall


def _features(case: Case, notes: Notes) -> Iterator[str]:
    for feature in sorted(case.role.requirements.features):
        fact: Fact[bool] | None = getattr(case.model.capabilities, feature)
        notes.numbers[feature] = None if fact is None else fact.value
        if fact is None and case.named:
            notes.warnings.append(f"whether it {_plain(feature)} is unknown")
        elif fact is None:
            yield f"whether it {_plain(feature)} is unknown, and the role asks for it"
        elif not fact.value:
            yield f"{feature} is false ({fact.origin.value}), and the role asks for it"


def _plain(feature: str) -> str:
    return feature.replace("_", " ")


def _context(case: Case, notes: Notes) -> tuple[Verdict, str] | None:
    least = case.role.requirements.context_min_tokens
    trained = trained_context_tokens(case.model)
    notes.numbers["context_length"] = trained
    if least is None:
        return None
    notes.numbers["context_length_min"] = least
    if trained is None:
        if case.named:
            notes.warnings.append(f"its context length is unknown; {least:,} tokens are asked for")
            return None
        return Verdict.CONTEXT_TOO_SMALL, f"its context length is unknown, and the role asks for {least:,} tokens"
    if trained < least:
        return (
            Verdict.CONTEXT_TOO_SMALL,
            f"its context of {trained:,} tokens is under the {least:,} that the role asks for",
        )
    return None


def _memory_limit(case: Case, notes: Notes) -> tuple[Verdict, str] | None:
    if case.model.cloud:
        return None
    need = notes.need(case)
    notes.numbers["context_tokens"] = need.context_tokens
    notes.numbers["memory_bytes"] = need.total_bytes
    limit = case.role.requirements.memory_max_bytes
    if limit is None:
        return None
    notes.numbers["memory_max_bytes"] = limit
    if need.total_bytes is None:
        notes.warnings.append(f"{need.arithmetic}; the role's limit is {gigabytes(limit)}")
        return None
    if need.total_bytes > limit:
        return Verdict.OVER_MEMORY_LIMIT, (
            f"{need.arithmetic} at {need.context_tokens:,} tokens is over the role's limit of {gigabytes(limit)}"
        )
    return None


def _fits_now(case: Case, notes: Notes) -> tuple[Verdict, str] | None:
    shortfall = fit_shortfall(case.model, need=notes.need(case), world=case.world, warnings=notes.warnings)
    capacity = case.world.capacities.get(case.provider_name)
    if capacity is not None and not case.model.cloud:
        notes.numbers["usable_bytes"] = capacity.usable_bytes
    return None if shortfall is None else (Verdict.DOES_NOT_FIT_NOW, shortfall)


def fit_shortfall(model: Model, *, need: MemoryNeed, world: World, warnings: list[str] | None = None) -> str | None:
    """Why the model does not fit now at the need's context, or ``None`` when it does (or nobody can tell: then a warning)."""
    noted = [] if warnings is None else warnings
    provider = world.directory.states[model.ref.provider].provider
    if takes_no_memory_of_ours(model, provider):
        return None
    if resident_at(model, context_tokens=need.context_tokens):
        return None
    capacity = world.capacities[model.ref.provider]
    if need.total_bytes is None or capacity.usable_bytes is None:
        noted.append(need.arithmetic if need.total_bytes is None else capacity.arithmetic)
        return None
    if need.total_bytes <= capacity.usable_bytes:
        return None
    missing = need.total_bytes - capacity.usable_bytes
    return (
        f"{need.arithmetic} at {need.context_tokens:,} tokens does not fit in {capacity.arithmetic}: "
        f"{gigabytes(missing)} short"
    )


def _temperature(case: Case, notes: Notes) -> tuple[Verdict, str] | None:
    measured, hot = case.world.resources.temperature_c, case.world.policy.hot_c
    provider = case.world.directory.states[case.provider_name].provider
    if measured is None or measured < hot or not provider.on_this_host or case.model.cloud:
        return None
    sensitivity = case.model.capabilities.thermal_sensitivity
    if sensitivity is None or sensitivity.value < HOT_SENSITIVITY:
        return None
    return Verdict.TOO_HOT, (
        f"the machine is at {measured:.0f} °C (hot from {hot:.0f} °C), and the model's thermal sensitivity is "
        f"{sensitivity.value:.2f}"
    )


def _key(case: Case, notes: Notes) -> tuple[Verdict, str] | None:
    provider = case.world.directory.states[case.provider_name].provider
    if not provider.cloud or provider.has_key:
        return None
    if not provider.key_variable:
        return Verdict.NO_API_KEY, f"no API key is known for {provider.name}"
    how = f"`rolegate providers set-key {provider.name}`, or {provider.key_variable}"
    return Verdict.NO_API_KEY, f"no API key is known for {provider.name} ({how})"


def _consent(case: Case, notes: Notes) -> tuple[Verdict, str] | None:
    if not case.model.cloud:
        return None
    if not case.world.policy.cloud_fallback:
        return Verdict.CLOUD_NOT_ALLOWED, "selection.cloud_fallback is false"
    if not case.role.allow_cloud:
        return Verdict.CLOUD_NOT_ALLOWED, "the role's allow_cloud is false"
    return None


def _cloud_by_name_only(case: Case, notes: Notes) -> tuple[Verdict, str] | None:
    if case.named or not case.model.cloud:
        return None
    return Verdict.EXCLUDED, "a cloud model serves a role only where it is named"


def _inclusion(case: Case, notes: Notes) -> tuple[Verdict, str] | None:
    if case.named:
        return None
    if not case.role.discover:
        return Verdict.EXCLUDED, "the role's discover is false, and it is not named"
    return None


def _why_ok(case: Case, notes: Notes) -> str:
    how = {
        Via.PREFERRED: "preferred",
        Via.DISCOVERED: "discovered",
        Via.CLOUD: "cloud fallback",
        Via.SYSTEM_DEFAULT: "system default, excused from scores" if notes.excused else "system default",
        None: "meets the requirements",
    }[case.via]
    if notes.excused:
        how = f"{how} ({'; '.join(notes.excused)})"
    if case.model.cloud:
        return f"{how}, in the cloud"
    need = notes.need(case)
    text = f"{how}; {need.arithmetic} at {need.context_tokens:,} tokens"
    if resident_at(case.model, context_tokens=need.context_tokens):
        return f"{text}, loaded already"
    capacity = case.world.capacities.get(case.provider_name)
    if capacity is None or need.total_bytes is None:
        return text
    return f"{text}; {capacity.arithmetic}" if capacity.usable_bytes is None else f"{text}, in {capacity.arithmetic}"


_CHECKS: Final[tuple[_Check, ...]] = (
    _cloud_by_name_only,
    _provider_up,
    _task,
    _requirements,
    _context,
    _memory_limit,
    _fits_now,
    _temperature,
    _consent,
    _key,
    _inclusion,
)
