"""Models that nobody named, best first for a role: a cheap sieve and one sort, so that a thousand models cost little.

What passes the sieve still has to be judged; what it drops, ``judge`` would refuse too.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.domain.capabilities import ABILITIES, FEATURE_FIELDS
from gateway.domain.fit import context_for, resident_at
from gateway.domain.model import Model
from gateway.domain.role import Requirements, Role, Task
from gateway.domain.scoring import (
    ability_terms,
    bucket,
    cost_term,
    default_weights,
    estimated_speed,
    ranking_value,
    rounded_score,
    speed_term,
)

DEFAULT_BANDWIDTH_BYTES_S: Final = 40_000_000_000.0
"""Memory bandwidth of a common laptop, for hosts of which nothing else is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What ranking reads of one model, worked out once for all roles. ``terms`` are those of ``ranking_value``; ``tie_break``
    orders a bucket: fast, cheap, by name."""

    model: Model
    terms: Mapping[str, float]
    scores: Mapping[str, float]
    features: frozenset[str]
    trained_context_tokens: int
    tie_break: tuple[float, float, str]

    @property
    def name(self) -> str:
        return self.tie_break[2]


def figures_of(models: Iterable[Model], *, bandwidth_bytes_s: float | None) -> tuple[Figures, ...]:
    return tuple(_figures(model, bandwidth_bytes_s=bandwidth_bytes_s or DEFAULT_BANDWIDTH_BYTES_S) for model in models)


def _figures(model: Model, *, bandwidth_bytes_s: float) -> Figures:
    known = model.capabilities
    scores = {name: fact.value for name in ABILITIES if (fact := getattr(known, name)) is not None}
    features = (name for name in FEATURE_FIELDS if (fact := getattr(known, name)) is not None and fact.value)
    speed = _speed(model, bandwidth_bytes_s=bandwidth_bytes_s)
    cost = model.cost_usd_per_mtok if model.cloud else model.cost_usd_per_mtok or 0.0
    return Figures(
        model=model,
        terms={**ability_terms(known), "speed": speed_term(speed), "cost": cost_term(cost)},
        scores={name: rounded_score(value) for name, value in scores.items()},
        features=frozenset(features),
        trained_context_tokens=known.context_length.value if known.context_length else 0,
        tie_break=(-(speed or 0.0), cost or 0.0, str(model.ref)),
    )


def _speed(model: Model, *, bandwidth_bytes_s: float) -> float | None:
    if model.speed_tokens_s is not None:
        return model.speed_tokens_s
    architecture = model.architecture
    if model.cloud or architecture is None or not architecture.weights_bytes:
        return None
    active_bytes = float(architecture.weights_bytes)
    if architecture.parameter_count and architecture.active_parameter_count:
        active_bytes *= architecture.active_parameter_count / architecture.parameter_count
    return estimated_speed(active_weight_bytes=active_bytes, bandwidth_bytes_s=bandwidth_bytes_s)


def _weights(role: Role) -> Mapping[str, float]:
    return role.weights or default_weights(role.requirements.scores)


def score_for(figures: Figures, *, role: Role) -> float | None:
    """The ranking value of a model for a role: its weighted theta; ``None`` when an ability that weighs is unknown."""
    return ranking_value(terms=figures.terms, weights=_weights(role).items())


def best_first(figures: Sequence[Figures], *, role: Role, task: Task) -> list[Figures]:
    """The local models worth judging for ``role``: better buckets first; inside one resident, fast, cheap, by name."""
    weights = tuple(_weights(role).items())
    need = role.requirements.context_need_tokens

    def key(one: Figures) -> tuple[int, bool, tuple[float, float, str]]:
        value = ranking_value(terms=one.terms, weights=weights)
        loaded = one.model.resident is not None and resident_at(
            one.model, context_tokens=context_for(one.model, need_tokens=need)
        )
        return _LAST if value is None else -bucket(value), not loaded, one.tie_break

    return sorted(_sieve(figures, requirements=role.requirements, task=task), key=key)


_LAST: Final = 1_000_000
"""Stands for a bucket below all others."""


def _sieve(figures: Sequence[Figures], *, requirements: Requirements, task: Task) -> list[Figures]:
    found = candidates_for(figures, task=task)
    for name, least in requirements.scores.items():
        floor = rounded_score(least)
        found = [one for one in found if one.scores.get(name, -1.0) >= floor]
    if requirements.features:
        found = [one for one in found if requirements.features <= one.features]
    if requirements.context_min_tokens:
        context = requirements.context_min_tokens
        found = [one for one in found if one.trained_context_tokens >= context]
    return found


def candidates_for(figures: Sequence[Figures], *, task: Task) -> list[Figures]:
    """The local models of providers that answer whose server says that they do the task."""
    here = [one for one in figures if one.model.provider_up and not one.model.cloud]
    if task is Task.EMBEDDING:
        return [one for one in here if one.model.embeds and not one.model.chats]
    return [one for one in here if one.model.chats]
