"""What the controller makes of failures: a lesson at once where the words are enough, at the next look where figures are."""

import logging
from collections.abc import Callable, Iterable
from typing import Final

from gateway.domain.failure import FailureClass
from gateway.domain.fit import capacities, memory_need, takes_no_memory_of_ours
from gateway.domain.lesson import raised_floor, refused_feature, with_synonyms
from gateway.domain.model import ModelRef
from gateway.domain.plan import Deployment
from gateway.domain.ports import Discovery
from gateway.domain.resources import Resources
from gateway.domain.role import Policy, Role
from gateway.errors import UpstreamFailed
from gateway.registry.corrections import Corrections
from gateway.relay.needs import Needs

_log = logging.getLogger(__name__)

LOOKED_INTO: Final = frozenset({FailureClass.GONE, FailureClass.CAPABILITY, FailureClass.LOAD_FAILED})
"""The failures that say something of the model and not of the moment."""


class Learning:
    """Turns failed attempts into corrections, and what was corrected into reasons for a new plan."""

    def __init__(self, corrections: Corrections) -> None:
        self._corrections = corrections
        self._loads: dict[tuple[ModelRef, int], str] = {}
        self._causes: list[str] = []

    def note(self, deployment: Deployment, failed: UpstreamFailed, *, needs: Needs) -> bool:
        """Take note of a failed attempt; true if it is worth a look. Returns at once and never raises."""
        if failed.failure not in LOOKED_INTO:
            return False
        facts = {"model": str(deployment.ref), "reason": failed.message}
        if failed.failure == FailureClass.CAPABILITY:
            feature = refused_feature(failed.message, asked=needs.asked_features)
            if feature is None or not self._corrections.refuse(deployment.ref, feature=feature, words=failed.message):
                return False
            _log.warning("a model refused a feature", extra={**facts, "feature": feature})
        elif failed.failure == FailureClass.LOAD_FAILED:
            if deployment.context_tokens is None:
                return False
            self._loads[deployment.ref, deployment.context_tokens] = failed.message
            _log.warning("a model failed to load", extra={**facts, "context_tokens": deployment.context_tokens})
        else:
            _log.warning("a model is gone", extra=facts)
        return True

    def weigh_loads(self, discovery: Discovery | None, *, sample: Callable[[], Resources], policy: Policy) -> None:
        """Raise the memory of the models whose loads have failed since the last look, by what the machine has now. However many
        waited for a load, it failed once."""
        loads, self._loads = self._loads, {}
        if not loads or discovery is None:
            return
        models = {model.ref: model for model in discovery.models}
        providers = {state.provider.name: state.provider for state in discovery.providers}
        capacity = capacities(providers=providers.values(), models=models.values(), resources=sample(), policy=policy)
        for (ref, context_tokens), words in loads.items():
            model = models.get(ref)
            if model is None or takes_no_memory_of_ours(model, providers[ref.provider]):
                continue
            floor_bytes = raised_floor(
                words=words,
                need_bytes=memory_need(model, context_tokens=context_tokens).total_bytes,
                available_bytes=capacity[ref.provider].available_bytes,
            )
            if floor_bytes is not None:
                self._corrections.load_failed(ref, context_tokens=context_tokens, floor_bytes=floor_bytes, words=words)

    def causes(self, *, roles: Iterable[Role]) -> str:
        """Why the live plan may be wrong, for everything that was learned since ``settled`` and matters to these roles; empty if
        it is not."""
        required = frozenset(feature for role in roles for feature in role.requirements.features)
        for one in self._corrections.take_news():
            if not one.feature or required.intersection(with_synonyms(one.feature)):
                self._causes.append(str(one))
        return ", ".join(dict.fromkeys(self._causes))

    def settled(self) -> None:
        """The live plan was made with all that was learned."""
        self._causes.clear()
