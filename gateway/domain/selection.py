"""The role mapper: roles, models, resources and policy in; a plan and its trace out. Pure and deterministic."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from gateway.domain.candidates import Candidate, Directory, named_candidates, task_of
from gateway.domain.capabilities import FEATURE_FIELDS, Fact
from gateway.domain.case import Judgement, World
from gateway.domain.fit import (
    capacities,
    context_for,
    gigabytes,
    takes_no_memory_of_ours,
    trained_context_tokens,
)
from gateway.domain.judgement import fit_shortfall, judge
from gateway.domain.model import Model, ModelRef
from gateway.domain.plan import Deployment, Plan, RolePlan, Via
from gateway.domain.ports import Discovery
from gateway.domain.ranking import Figures, best_first, figures_of, score_for
from gateway.domain.resources import Resources
from gateway.domain.role import Policy, Role, Task
from gateway.domain.trace import RoleTrace, TraceEntry, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chosen:
    """One place in a role's order."""

    model: Model
    via: Via


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """One role with its task and what the joint load profiles took from it (label → why)."""

    role: Role
    task: Task
    lost: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The plan; ``trace`` says why. Traces are worked out when asked for: a plan needs far fewer judgements than they do."""

    plan: Plan
    _cases: Mapping[str, _Case]
    _figures: tuple[Figures, ...]
    _world: World

    def trace(self, role: str) -> RoleTrace:
        """Every candidate of one role with its verdict: those chosen in order, then the rest. ``KeyError`` for no such role."""
        case = self._cases[role]
        places = {str(one.ref): one for one in self.plan.roles[role].deployments}
        entries = [
            _entry(candidate, judgement, case=case, deployment=places.get(candidate.label), figures=self._by_label)
            for candidate, judgement in _judge_all(case, figures=self._figures, world=self._world)
        ]
        chosen = sorted((one for one in entries if one.order is not None), key=lambda one: one.order or 0)
        return RoleTrace(role=role, entries=(*chosen, *(one for one in entries if one.order is None)))

    @property
    def _by_label(self) -> dict[str, Figures]:
        return {one.name: one for one in self._figures}


def select(*, roles: Mapping[str, Role], discovery: Discovery, resources: Resources, policy: Policy) -> Selection:
    """Decide every role's ordered deployments from what exists and what the machine can hold now."""
    directory = Directory(discovery)
    world = World(
        directory=directory,
        capacities=capacities(
            providers=[state.provider for state in discovery.providers],
            models=directory.models,
            resources=resources,
            policy=policy,
        ),
        resources=resources,
        policy=policy,
    )
    figures = figures_of(directory.models, bandwidth_bytes_s=resources.bandwidth_bytes_s)
    cases = {name: _Case(role=roles[name], task=task_of(roles[name], directory=directory)) for name in sorted(roles)}
    chosen = {name: _choose(case, figures=figures, world=world) for name, case in cases.items()}
    while (conflict := _first_conflict(cases, chosen, world=world)) is not None:
        name, label, reason = conflict
        cases[name] = replace(cases[name], lost={**cases[name].lost, label: reason})
        chosen[name] = _choose(cases[name], figures=figures, world=world)
    joint = _joint_contexts(cases, chosen)
    plan = Plan(
        roles=MappingProxyType(
            {name: _role_plan(case, chosen[name], joint=joint, world=world) for name, case in cases.items()}
        )
    )
    return Selection(plan=plan, _cases=MappingProxyType(cases), _figures=figures, _world=world)


def _choose(case: _Case, *, figures: Sequence[Figures], world: World) -> tuple[_Chosen, ...]:
    """The role's models in order, cut to its limit. Discovered models fill the room that the named ones leave, so that a long
    list of local models does not push out the cloud and the last resort."""
    taken: set[str] = set()

    def passing(candidates: Iterable[Candidate]) -> list[_Chosen]:
        found = []
        for candidate in candidates:
            model, via = candidate.model, candidate.via
            if model is None or via is None or candidate.label in taken:
                continue
            if _passes(candidate, case=case, world=world):
                taken.add(candidate.label)
                found.append(_Chosen(model=model, via=via))
        return found

    directory, role = world.directory, case.role
    preferred = passing(named_candidates(role.preferred, via=Via.PREFERRED, directory=directory))
    cloud = passing(named_candidates(role.cloud_fallback, via=Via.CLOUD, directory=directory))
    defaults = passing(named_candidates(world.policy.system_default, via=Via.SYSTEM_DEFAULT, directory=directory))
    room = role.max_deployments - len(preferred) - len(cloud) - len(defaults)
    discovered: list[_Chosen] = []
    if role.discover:
        named = _named_labels(case, world=world)
        last_resort = {str(one.model.ref): one for one in defaults}
        for one in best_first(figures, role=role, task=case.task):
            default = last_resort.get(one.name)
            if room <= 0 and default is None:
                break
            candidate = Candidate(label=one.name, via=Via.DISCOVERED, named=False, model=one.model)
            if one.name in named or not _passes(candidate, case=case, world=world):
                continue
            if default is not None:
                defaults.remove(default)
            else:
                room -= 1
            discovered.append(_Chosen(model=one.model, via=Via.DISCOVERED))
    return tuple([*preferred, *discovered, *cloud, *defaults][: role.max_deployments])


def _named_labels(case: _Case, *, world: World) -> frozenset[str]:
    """The models that the role names itself: they are judged where they are named, and nowhere else."""
    references = (*case.role.preferred, *case.role.cloud_fallback)
    models = (world.directory.find(text) for text in references)
    return frozenset(str(model.ref) for model in models if model is not None)


def _passes(candidate: Candidate, *, case: _Case, world: World) -> bool:
    if candidate.label in case.lost:
        return False
    return judge(candidate, role=case.role, task=case.task, world=world).verdict is Verdict.OK


def _joint_contexts(cases: Mapping[str, _Case], chosen: Mapping[str, Sequence[_Chosen]]) -> dict[ModelRef, int]:
    """The load profile of all chosen weights: the largest need among the roles that use them, by ``weights_ref``."""
    joint: dict[ModelRef, int] = {}
    for name, case in cases.items():
        for one in chosen[name]:
            need = context_for(one.model, need_tokens=case.role.requirements.context_need_tokens)
            joint[one.model.weights_ref] = max(joint.get(one.model.weights_ref, 0), need)
    return joint


def _first_conflict(
    cases: Mapping[str, _Case], chosen: Mapping[str, Sequence[_Chosen]], *, world: World
) -> tuple[str, str, str] | None:
    """A model that no longer fits with its joint load profile: the role that loses it (the one with the largest need), the
    model's label and the reason."""
    users: dict[ModelRef, list[tuple[int, str, str]]] = {}
    models: dict[ModelRef, Model] = {}
    for name, case in cases.items():
        for one in chosen[name]:
            models[one.model.weights_ref] = one.model
            users.setdefault(one.model.weights_ref, []).append(
                (case.role.requirements.context_need_tokens, name, str(one.model.ref))
            )
    for ref in sorted(users, key=str):
        if len(users[ref]) < 2:
            continue
        need, loser, label = max(users[ref])
        joint = world.need(models[ref], context_tokens=context_for(models[ref], need_tokens=need))
        shortfall = fit_shortfall(models[ref], need=joint, world=world)
        if shortfall is not None:
            return loser, label, f"shared with other roles: {shortfall}"
    return None


def _role_plan(case: _Case, chosen: Sequence[_Chosen], *, joint: Mapping[ModelRef, int], world: World) -> RolePlan:
    role = case.role
    return RolePlan(
        role=role.name,
        task=case.task,
        deployments=tuple(
            _deployment(one, order=order, joint=joint, world=world) for order, one in enumerate(chosen, start=1)
        ),
        deadlines=role.deadlines,
        manner=role.manner,
        parameters=role.parameters,
    )


def _deployment(one: _Chosen, *, order: int, joint: Mapping[ModelRef, int], world: World) -> Deployment:
    model = one.model
    provider = world.directory.states[model.ref.provider].provider
    loaded_elsewhere = takes_no_memory_of_ours(model, provider)
    context = trained_context_tokens(model) if loaded_elsewhere else joint[model.weights_ref]
    facts: dict[str, Fact[bool] | None] = {name: getattr(model.capabilities, name) for name in FEATURE_FIELDS}
    need = None if loaded_elsewhere or context is None else world.need(model, context_tokens=context)
    return Deployment(
        ref=model.ref,
        lane=model.lane,
        order=order,
        cloud=model.cloud,
        via=one.via,
        context_tokens=context,
        memory_bytes=need.total_bytes if need else None,
        features=frozenset(name for name, fact in facts.items() if fact is not None and fact.value),
        unknown_features=frozenset(name for name, fact in facts.items() if fact is None),
    )


def _judge_all(case: _Case, *, figures: Sequence[Figures], world: World) -> list[tuple[Candidate, Judgement]]:
    """Every candidate once: as named, else as discovered; the system default gets a second hearing if it failed."""
    directory, role = world.directory, case.role
    found: dict[str, tuple[Candidate, Judgement]] = {}

    def hear(candidate: Candidate, *, again: bool = False) -> None:
        known = found.get(candidate.label)
        if known is not None and (not again or known[1].verdict is Verdict.OK):
            return
        found[candidate.label] = (candidate, judge(candidate, role=role, task=case.task, world=world))

    for candidate in named_candidates(role.preferred, via=Via.PREFERRED, directory=directory):
        hear(candidate)
    for candidate in named_candidates(role.cloud_fallback, via=Via.CLOUD, directory=directory):
        hear(candidate)
    ranked = best_first(figures, role=role, task=case.task)
    worth = {one.name for one in ranked}
    for one in (*ranked, *(other for other in figures if other.name not in worth)):
        hear(Candidate(label=one.name, via=Via.DISCOVERED, named=False, model=one.model))
    for candidate in named_candidates(world.policy.system_default, via=Via.SYSTEM_DEFAULT, directory=directory):
        hear(candidate, again=True)
    return list(found.values())


def _shared_load(deployment: Deployment, *, own_context: object) -> str:
    """What the load profile that all roles share adds to a reason."""
    if own_context is None or deployment.context_tokens is None or deployment.memory_bytes is None:
        return ""
    return (
        f"; loaded with {deployment.context_tokens:,} tokens ({gigabytes(deployment.memory_bytes)}), "
        "which another role needs"
    )


def _entry(
    candidate: Candidate,
    judgement: Judgement,
    *,
    case: _Case,
    deployment: Deployment | None,
    figures: Mapping[str, Figures],
) -> TraceEntry:
    verdict, reason = judgement.verdict, judgement.reason
    if candidate.label in case.lost:
        verdict, reason = Verdict.DOES_NOT_FIT_NOW, case.lost[candidate.label]
    elif verdict is Verdict.OK and deployment is None:
        verdict, reason = (
            Verdict.EXCLUDED,
            (f"it qualifies, but the role has its {case.role.max_deployments} deployments (max_deployments)"),
        )
    elif deployment is not None and deployment.context_tokens != judgement.numbers.get("context_tokens"):
        reason += _shared_load(deployment, own_context=judgement.numbers.get("context_tokens"))
    known = figures.get(candidate.label)
    score = None if known is None else score_for(known, role=case.role)
    return TraceEntry(
        model=candidate.label,
        verdict=verdict,
        reason=reason,
        via=candidate.via if deployment is None else deployment.via,
        order=None if deployment is None else deployment.order,
        score=None if score is None else round(score, 3),
        numbers=judgement.numbers,
        warnings=judgement.warnings,
    )
