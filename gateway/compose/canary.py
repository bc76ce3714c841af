"""One token from one deployment, asked for as a request would be."""

import asyncio
import logging
from dataclasses import replace
from typing import Final, Protocol

from gateway.compose.own_questions import ask_unasked
from gateway.compose.parts import SystemClock
from gateway.domain.plan import Deployment
from gateway.domain.ports import CloudGate, Journal
from gateway.domain.role import Task
from gateway.errors import ProviderFailed
from gateway.relay.relay import Relay
from gateway.relay.request import ChatRequest
from gateway.runtime.generation import Generation
from gateway.runtime.residency import LOAD_S

_log = logging.getLogger(__name__)

_REQUEST: Final = b'{"model":"%s","messages":[{"role":"user","content":"Hi."}],"max_tokens":1}'


class Purse(CloudGate, Journal, Protocol):
    """Knows what clouds may cost, and counts what they do."""


class Canary:
    """Implements ``Generates``. It speaks through ``relay``, which is made after it and has to be given before the first swap, as
    has the ``purse`` that pays for it."""

    relay: Relay
    purse: Purse

    def __init__(self, *, within_s: float = LOAD_S) -> None:
        self._within_s = within_s

    async def generate(self, generation: Generation, *, role: str, deployment: Deployment) -> None:
        """See ``Generates``. Where embeddings are what a role is for, there is no token to ask for, and none may be asked of a
        cloud that is closed: its models wait for the gate like all others, and hold up no swap."""
        plan = generation.roles[role]
        if plan.task is not Task.CHAT:
            return
        if deployment.cloud and (why := self.purse.closed(deployment.ref.provider)):
            _log.info("no canary was asked for", extra={"role": role, "model": str(deployment.ref), "reason": why})
            return
        route = generation.route(role)
        try:
            async with asyncio.timeout(self._within_s):
                await ask_unasked(
                    self.relay,
                    question=ChatRequest.parse(_REQUEST % role.encode()),
                    route=replace(route, plan=replace(plan, deployments=(deployment,))),
                    role=role,
                    word="canary",
                    journal=self.purse,
                    clock=SystemClock,
                )
        except TimeoutError as exc:
            told = f"{deployment.ref} gave no token within {self._within_s:g} s"
            raise ProviderFailed(told, provider=deployment.ref.provider) from exc
