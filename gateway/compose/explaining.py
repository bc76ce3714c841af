"""Explaining a role of the live gateway: the decision made anew, with more asked or other memory, and nothing changed."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from gateway.api.admin_explain import Question
from gateway.compose.explanation import asking_more, explanation_data
from gateway.config.settings import Configuration
from gateway.domain.nearest import nearest_name
from gateway.domain.ports import ResourceProbe
from gateway.domain.resources import GB, Resources
from gateway.domain.selection import select
from gateway.errors import UnknownName
from gateway.runtime.controller import Controller
from gateway.runtime.swap import Switchboard


class LiveExplainer:
    """Implements ``Explainer`` with what the live gateway knows. ``read`` gives the configuration with another profile active; it
    blocks and raises ``ConfigInvalid``."""

    def __init__(
        self,
        *,
        controller: Controller,
        switchboard: Switchboard,
        probe: ResourceProbe,
        read: Callable[[str | None], Configuration],
    ) -> None:
        self._controller = controller
        self._switchboard = switchboard
        self._probe = probe
        self._read = read

    def explain(self, question: Question) -> Mapping[str, object]:
        discovery = self._switchboard.live.discovery
        configuration = self._controller.configuration if question.profile is None else self._read(question.profile)
        roles, name = configuration.roles, question.role
        if name not in roles:
            known = sorted(roles)
            raise UnknownName(kind="role", name=name, known=known, nearest=nearest_name(name, known))
        asked = asking_more(roles[name], features=question.features, context_tokens=question.context_tokens)
        selection = select(
            roles={**roles, name: asked},
            discovery=discovery,
            resources=_assuming(self._probe.sample(), memory_gb=question.memory_gb, vram_gb=question.vram_gb),
            policy=configuration.policy,
        )
        return explanation_data(selection.plan.roles[name], selection.trace(name))


def _assuming(measured: Resources, *, memory_gb: float | None, vram_gb: float | None) -> Resources:
    if memory_gb is not None:
        measured = replace(
            measured, memory_available_bytes=round(memory_gb * GB), memory_assumed=True, source="memory_gb"
        )
    if vram_gb is not None:
        measured = replace(measured, vram_available_bytes=round(vram_gb * GB), vram_assumed=True)
    return measured
