"""Which models a role could be served by, before any of them is judged."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from gateway.domain.model import Model, ModelRef, ProviderKind, ollama_name, parse_reference
from gateway.domain.plan import Via
from gateway.domain.ports import Discovery, ProviderState
from gateway.domain.role import Role, Task


class Absence(Enum):
    """Why a reference has no model behind it."""

    NOT_INSTALLED = auto()
    PROVIDER_DOWN = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One thing to judge: a model, or a reference that leads to none (then ``absence`` and ``reason`` say why).

    ``named`` is true when the operator wrote its name down for this role or as the system default.
    """

    label: str
    via: Via | None
    named: bool
    model: Model | None = None
    absence: Absence | None = None
    reason: str = ""


class Directory:
    """All models and providers, found by reference."""

    def __init__(self, discovery: Discovery) -> None:
        self.states: Mapping[str, ProviderState] = {state.provider.name: state for state in discovery.providers}
        self.models: tuple[Model, ...] = tuple(sorted(discovery.models, key=lambda model: str(model.ref)))
        self._by_ref: dict[ModelRef, Model] = {model.ref: model for model in self.models}
        for model in self.models:
            for alias in sorted(model.aliases):
                self._by_ref.setdefault(ModelRef(provider=model.ref.provider, name=alias), model)
        self._ollamas = tuple(state for state in discovery.providers if state.provider.kind is ProviderKind.OLLAMA)

    def find(self, text: str) -> Model | None:
        """The model a reference names, or ``None``. A bare name is looked for on Ollama providers that answer first: what one
        that does not answer had is only remembered."""
        reference = parse_reference(text, providers=self.states)
        if reference.provider:
            return self._at(reference.provider, reference.name)
        for state in sorted(self._ollamas, key=lambda one: not one.up):
            model = self._at(state.provider.name, reference.name)
            if model is not None:
                return model
        return None

    def candidate(self, text: str, *, via: Via) -> Candidate:
        """What the operator's reference leads to."""
        model = self.find(text)
        if model is not None:
            return Candidate(label=str(model.ref), via=via, named=True, model=model)
        absence, reason = self._why_absent(text)
        return Candidate(label=text, via=via, named=True, absence=absence, reason=reason)

    def _at(self, provider: str, name: str) -> Model | None:
        if self.states[provider].provider.kind is ProviderKind.OLLAMA:
            name = ollama_name(name)
        return self._by_ref.get(ModelRef(provider=provider, name=name))

    def _why_absent(self, text: str) -> tuple[Absence, str]:
        reference = parse_reference(text, providers=self.states)
        asked = (self.states[reference.provider],) if reference.provider else self._ollamas
        if not asked:
            return Absence.NOT_INSTALLED, "no Ollama provider is configured that could have it"
        down = [state for state in asked if not state.up]
        if len(down) == len(asked):
            return Absence.PROVIDER_DOWN, "; ".join(_down_sentence(state) for state in down)
        names = ", ".join(state.provider.name for state in asked if state.up)
        reason = f"not installed on {names}; {_remedy(asked[0], reference.name)}"
        if down:
            reason += "; " + "; ".join(_down_sentence(state) for state in down)
        return Absence.NOT_INSTALLED, reason


def _down_sentence(state: ProviderState) -> str:
    return state.error or f"{state.provider.name} does not answer"


def _remedy(state: ProviderState, name: str) -> str:
    match state.provider.kind:
        case ProviderKind.OLLAMA:
            return f"`ollama pull {name}` installs it"
        case ProviderKind.EMBEDDED:
            return f"`rolegate models pull {state.provider.name}:{name}` installs it"
        case ProviderKind.CLOUD:
            return f"declare it under cloud_providers.{state.provider.name}.models"
        case ProviderKind.OPENAI:
            return "the server does not list it"


def task_of(role: Role, *, directory: Directory) -> Task:
    """The role's task: as written, else embedding if every preferred model that exists is embedding-only."""
    if role.task is not None:
        return role.task
    preferred = [model for model in map(directory.find, role.preferred) if model is not None]
    if preferred and all(model.embeds and model.chats is False for model in preferred):
        return Task.EMBEDDING
    return Task.CHAT


def named_candidates(references: Sequence[str], *, via: Via, directory: Directory) -> list[Candidate]:
    """The operator's references in order, each model once."""
    found: dict[str, Candidate] = {}
    for text in references:
        candidate = directory.candidate(text, via=via)
        found.setdefault(candidate.label, candidate)
    return list(found.values())
