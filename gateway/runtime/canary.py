"""A last look at what a swap brings in, which may speak against it."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, Protocol

from gateway.domain.plan import Deployment
from gateway.domain.ports import Discovery
from gateway.errors import ProviderFailed, RolegateError
from gateway.runtime.generation import Generation


class Generates(Protocol):
    def __call__(self, generation: Generation, *, role: str, deployment: Deployment) -> Awaitable[None]:
        """Have ``deployment`` generate one token for ``role``. Raises the ``RolegateError`` that it failed with."""


class Vetoed(ProviderFailed):
    """A canary failed: the deployment is not as the plan has it. The old generation serves on."""

    code = "swap_vetoed"


async def try_out(
    changed: Sequence[tuple[str, Deployment]],
    *,
    how: Literal["metadata", "generate"],
    generation: Generation,
    latest: Callable[[], Discovery | None],
    generate: Generates,
) -> None:
    """Try each changed deployment, once however many roles have it. Raises ``Vetoed`` for the first that is not well.

    The metadata are those of the ``latest`` look, which may be younger than the plan; with ``generate`` one token is asked for as
    well.
    """
    for role, deployment in changed:
        objection = _objection(deployment, latest() or generation.discovery)
        if objection:
            raise Vetoed(f"{deployment.ref} for {role}: {objection}", provider=deployment.ref.provider)
        if how == "generate":
            try:
                await generate(generation, role=role, deployment=deployment)
            except RolegateError as exc:
                raise Vetoed(
                    f"{deployment.ref} for {role} did not generate a token: {exc}", provider=deployment.ref.provider
                ) from exc


def _objection(deployment: Deployment, discovery: Discovery) -> str:
    """Why it cannot serve after all, by its metadata; empty if it can."""
    state = next((one for one in discovery.providers if one.provider.name == deployment.ref.provider), None)
    if state is None or not state.up:
        return (state.error if state else "") or f"{deployment.ref.provider} does not answer any more"
    if all(one.ref != deployment.ref for one in discovery.models):
        return "it is not there any more"
    return ""
