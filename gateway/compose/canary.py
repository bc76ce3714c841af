"""One token from one deployment, asked for as a request would be."""

import asyncio
from dataclasses import replace
from typing import Final

from gateway.domain.plan import Deployment
from gateway.domain.ports import CloudGate
from gateway.domain.role import Task
from gateway.errors import ProviderFailed
from gateway.relay.relay import Relay
from gateway.relay.request import ChatRequest
from gateway.relay.wire import ChatWire
from gateway.runtime.generation import Generation
from gateway.runtime.residency import LOAD_S

_REQUEST: Final = b'{"model":"%s","messages":[{"role":"user","content":"Hi."}],"max_tokens":1}'


class Canary:
    """Implements ``Generates``. It speaks through ``relay``, which is made after it and has to be given before the first swap, as
    has its ``gate``."""

    relay: Relay
    gate: CloudGate

    def __init__(self, *, within_s: float = LOAD_S) -> None:
        self._within_s = within_s

    async def generate(self, generation: Generation, *, role: str, deployment: Deployment) -> None:
        """See ``Generates``. Where embeddings are what a role is for, there is no token to ask for, and none may be asked of a
        cloud that is closed: its models wait for the gate like all others, and hold up no swap."""
        plan = generation.roles[role]
        if plan.task is not Task.CHAT or (deployment.cloud and self.gate.closed(deployment.ref.provider)):
            return
        route = generation.route(role)
        try:
            async with asyncio.timeout(self._within_s):
                await self.relay.answer(
                    inquiry=ChatRequest.parse(_REQUEST % role.encode()),
                    wire=ChatWire(include_usage=False),
                    route=replace(route, plan=replace(plan, deployments=(deployment,))),
                    request_id="canary",
                )
        except TimeoutError as exc:
            told = f"{deployment.ref} gave no token within {self._within_s:g} s"
            raise ProviderFailed(told, provider=deployment.ref.provider) from exc
