"""Trying a provider out: does it answer, does it accept the key, has it the models, and does one of them say a word?"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Final

from gateway.compose.parts import Endpoints, Parts, SystemClock
from gateway.compose.spending import spending_here
from gateway.compose.workspace import Workspace
from gateway.config.consistency import written_references
from gateway.config.settings import Configuration
from gateway.domain.budget import Spent, usd_text
from gateway.domain.candidates import Directory
from gateway.domain.model import Lane, Model, Provider, ProviderKind, parse_reference
from gateway.domain.plan import Deployment, Plan, RolePlan
from gateway.domain.ports import CompletionBackend, Discovery, Journal, ProviderState
from gateway.domain.role import Role, Task
from gateway.domain.selection import select
from gateway.errors import ProviderDown, ProviderFailed, RolegateError
from gateway.registry.cloud_listing import can_list, listing

_ROLE: Final = "test"
_REQUEST: Final = b'{"model":"test","messages":[{"role":"user","content":"Hi."}],"max_tokens":1}'
COMPLETION_S: Final = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked at. ``ok`` is ``None`` where it could not be; ``told`` is a sentence, ``ms`` how long it took."""

    name: str
    ok: bool | None
    told: str
    ms: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What became of one provider."""

    provider: str
    checks: tuple[Check, ...]

    @property
    def failed(self) -> bool:
        return any(one.ok is False for one in self.checks)

    @property
    def tried(self) -> bool:
        """Whether anything could be looked at."""
        return any(one.ok is not None for one in self.checks)


async def tried_out(workspace: Workspace, *, names: Sequence[str], complete: bool) -> tuple[Trial, ...]:
    """The providers of those names, one after the other; all of them where none is named. Then a cloud provider without a key
    is left out rather than found wanting. Raises ``VaultLocked`` or ``VaultUnreadable`` where a key in there is needed."""
    configuration = workspace.configuration()
    chosen = [one for one in configuration.providers if not names or one.name in names]
    await asyncio.to_thread(workspace.keys.read)
    workspace.keys.require(chosen)
    parts = await asyncio.to_thread(workspace.parts)
    try:
        discovery = await parts.registry.refresh()
        trials = []
        for provider in chosen:
            checks = await _checks(provider, workspace=workspace, discovery=discovery, insist=bool(names))
            trial = Trial(provider=provider.name, checks=tuple(checks))
            if complete and trial.tried and not trial.failed:
                said = await _completion(provider, workspace=workspace, parts=parts, discovery=discovery)
                trial = replace(trial, checks=(*checks, said))
            trials.append(trial)
        return tuple(trials)
    finally:
        await parts.close()


async def _checks(provider: Provider, *, workspace: Workspace, discovery: Discovery, insist: bool) -> list[Check]:
    wanted = _named_models(workspace.configuration(), provider=provider)
    if provider.cloud:
        return await _cloud_checks(provider, workspace=workspace, wanted=wanted, insist=insist)
    state = next(one for one in discovery.providers if one.provider.name == provider.name)
    if not state.up:
        return [Check(name="reachable", ok=False, told=state.error)]
    directory = Directory(discovery)
    missing = [one for one in wanted if directory.find(f"{provider.name}:{one}") is None]
    return [Check(name="reachable", ok=True, told="it answers"), *_of_models(wanted, missing=missing, state=state)]


def _of_models(wanted: Sequence[str], *, missing: Sequence[str], state: ProviderState | None = None) -> list[Check]:
    if not wanted:
        return []
    if missing:
        return [Check(name="models", ok=False, told=f"it does not have {', '.join(missing)}")]
    return [Check(name="models", ok=True, told=f"it has {', '.join(wanted)}")]


async def _cloud_checks(
    provider: Provider, *, workspace: Workspace, wanted: Sequence[str], insist: bool
) -> list[Check]:
    keys = workspace.keys
    origin = keys.origin(provider.name)
    if origin is None:
        told = f"there is none: `rolegate providers set-key {provider.name}`, or set {provider.key_variable}"
        return [Check(name="key", ok=False if insist else None, told=told)]
    whence = f"from {'the vault' if origin == 'vault' else provider.key_variable}"
    if not can_list(provider):
        told = f"{whence}; how it lists its models is not known here, and --complete asks one"
        return [Check(name="key", ok=True, told=told)]
    began_s = time.monotonic()
    try:
        found = await listing(provider, keys=keys, models=wanted)
    except ProviderDown as error:
        return [Check(name="reachable", ok=False, told=_told(error))]
    except ProviderFailed as error:
        refused = error.status in {401, 403}
        answers = Check(name="reachable", ok=True, told="it answers", ms=_since(began_s))
        wrong = Check(name="key" if refused else "models", ok=False, told=_told(error))
        return [answers, wrong]
    return [
        Check(name="reachable", ok=True, told="it answers", ms=_since(began_s)),
        Check(name="key", ok=True, told=f"{whence}, accepted"),
        *_of_models(wanted, missing=found.missing),
    ]


def _named_models(configuration: Configuration, *, provider: Provider) -> list[str]:
    """The models of a provider that are listed under it, or that a role names with it."""
    listed = [one.name for one in configuration.cloud_models if one.provider == provider.name]
    names = [one.name for one in configuration.providers]
    written = (parse_reference(text, providers=names) for _, text, _ in written_references(configuration.values))
    return list(dict.fromkeys([*listed, *(one.name for one in written if one.provider == provider.name)]))


async def _completion(provider: Provider, *, workspace: Workspace, parts: Parts, discovery: Discovery) -> Check:
    """One token from one of its models, asked for as a request would be, and only where consent allows it."""
    model = _one_that_chats(provider, workspace=workspace, discovery=discovery)
    if model is None:
        return Check(name="completion", ok=None, told="no role names a chat model of it, and none is loaded")
    began_s = time.monotonic()
    try:
        deployment = _deployment(model, workspace=workspace, discovery=discovery)
        async with AsyncExitStack() as opened:
            spending, before, cost = None, Spent(), ""
            if deployment.cloud:
                spending = await opened.enter_async_context(spending_here(workspace, parts))
                if why := spending.closed(provider.name):
                    return Check(name="completion", ok=None, told=f"{model.ref} is not asked: {why}")
                before = spending.spent(provider.name)
            async with asyncio.timeout(COMPLETION_S):
                usage = await _one_token(
                    deployment, workspace=workspace, parts=parts, discovery=discovery, journal=spending
                )
            if spending is not None:
                cost = f", for {_cost(before, spending.spent(provider.name))}"
    except TimeoutError:
        return Check(name="completion", ok=False, told=f"{model.ref} gave no token within {COMPLETION_S:g} s")
    except RolegateError as error:
        return Check(name="completion", ok=False, told=_told(error), ms=_since(began_s))
    counted = f" ({usage.get('prompt_tokens')} tokens in, {usage.get('completion_tokens')} out)" if usage else ""
    return Check(name="completion", ok=True, told=f"{model.ref} answered{counted}{cost}", ms=_since(began_s))


def _cost(before: Spent, after: Spent) -> str:
    """What was spent between the two, in words."""
    if after.unpriced > before.unpriced:
        return "an unknown price"
    return usd_text(after.month_usd - before.month_usd)


def _one_that_chats(provider: Provider, *, workspace: Workspace, discovery: Discovery) -> Model | None:
    """The first that is named; else one that is in memory already, which costs nothing."""
    directory = Directory(discovery)
    named = _named_models(workspace.configuration(), provider=provider)
    found = [model for name in named if (model := directory.find(f"{provider.name}:{name}")) is not None]
    held = [one for one in directory.models if one.ref.provider == provider.name and one.resident is not None]
    listed = [
        one for one in directory.models if one.ref.provider == provider.name and provider.kind is ProviderKind.OPENAI
    ]
    return next((one for one in (*found, *held, *listed) if one.chats is not False), None)


def _deployment(model: Model, *, workspace: Workspace, discovery: Discovery) -> Deployment:
    """The model as a role would be served by it. Raises ``ProviderFailed`` with the reason where none would."""
    selection = select(
        roles={_ROLE: Role(name=_ROLE, preferred=(str(model.ref),), discover=False)},
        discovery=discovery,
        resources=workspace.resources(),
        policy=replace(workspace.configuration().policy, system_default=()),
    )
    deployments = selection.plan.roles[_ROLE].deployments
    if not deployments:
        reason = selection.trace(_ROLE).entries[0].reason
        raise ProviderFailed(f"{model.ref} cannot be asked: {reason}", provider=model.ref.provider)
    return deployments[0]


async def _one_token(
    deployment: Deployment, *, workspace: Workspace, parts: Parts, discovery: Discovery, journal: Journal | None
) -> Mapping[str, object] | None:
    """The token counts of the answer, where the provider gave them. Raises what requests are answered with."""
    # What serves requests is imported by who serves one.
    from gateway.compose.backends import Backends
    from gateway.compose.own_questions import ask_unasked
    from gateway.relay.breaker import Breakers
    from gateway.relay.connections import Connections
    from gateway.relay.litellm_lane import LiteLLMLane
    from gateway.relay.ollama_lane import OllamaLane
    from gateway.relay.openai_lane import OpenAILane
    from gateway.relay.relay import Relay
    from gateway.relay.request import ChatRequest
    from gateway.relay.route import Route

    role = RolePlan(role=_ROLE, task=Task.CHAT, deployments=(deployment,))
    clock = SystemClock()
    async with AsyncExitStack() as opened:
        backend: CompletionBackend | None = None
        if deployment.lane is Lane.LITELLM:
            rendered = workspace.render_plan(Plan(roles={_ROLE: role}), discovery)
            backend = await asyncio.to_thread(Backends(keys=parts.keys).build, rendered)
            opened.push_async_callback(backend.close)
        endpoints = Endpoints(engine=parts.engine, keys=parts.keys)
        relay = Relay(
            lanes={
                Lane.OLLAMA: OllamaLane(connections=Connections(clock=clock), clock=clock, keys=parts.keys),
                Lane.OPENAI: OpenAILane(connections=Connections(clock=clock), endpoints=endpoints),
                Lane.LITELLM: LiteLLMLane(),
            },
            clock=clock,
            breakers=Breakers(),
        )
        opened.push_async_callback(relay.close)
        answer = await ask_unasked(
            relay,
            question=ChatRequest.parse(_REQUEST),
            route=Route(
                plan=role,
                providers={state.provider.name: state.provider for state in discovery.providers},
                generation=0,
                backend=backend,
            ),
            role=str(deployment.ref),
            word="test",
            journal=journal,
            clock=clock,
        )
        return answer.usage


def _told(error: RolegateError) -> str:
    return f"{error.message}; {error.hint}" if error.hint else error.message


def _since(began_s: float) -> float:
    return round((time.monotonic() - began_s) * 1000, 1)
