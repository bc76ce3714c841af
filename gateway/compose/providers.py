"""The providers as an operator sees them: what each is, whether it answers, and where its key comes from."""

import asyncio
from dataclasses import dataclass

from gateway.compose.keys import Origin
from gateway.compose.workspace import Workspace
from gateway.domain.model import Provider


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderRow:
    """``up`` is ``None`` for cloud providers: nobody asks them but a request, or a test. ``key`` is where the key that counts
    comes from, ``None`` where there is none; ``in_vault`` says that the vault has one, whether it counts or not."""

    provider: Provider
    up: bool | None
    error: str
    models: int
    key: Origin | None
    in_vault: bool


async def provider_rows(workspace: Workspace) -> tuple[ProviderRow, ...]:
    """Every configured provider, asked now. The vault is opened for it: raises ``VaultLocked`` or ``VaultUnreadable`` where that
    fails, whether a key in it is needed or not."""
    workspace.configuration()
    keys = workspace.keys
    await asyncio.to_thread(keys.read)
    if keys.trouble is not None:
        raise keys.trouble
    parts = await asyncio.to_thread(workspace.parts)
    try:
        discovery = await parts.registry.refresh()
    finally:
        await parts.close()
    counts: dict[str, int] = {}
    for model in discovery.models:
        counts[model.ref.provider] = counts.get(model.ref.provider, 0) + 1
    return tuple(
        ProviderRow(
            provider=state.provider,
            up=None if state.provider.cloud else state.up,
            error=state.error,
            models=counts.get(state.provider.name, 0),
            key=keys.origin(state.provider.name) if state.provider.key_variable else None,
            in_vault=state.provider.name in keys.held,
        )
        for state in discovery.providers
    )
