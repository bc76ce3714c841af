"""A cloud provider's models, as declared; nothing is asked over the network."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from gateway.catalog.cloud import CloudFact
from gateway.catalog.names import ModelIdentity
from gateway.config.settings import CloudModel
from gateway.domain.capabilities import NOTHING_KNOWN
from gateway.domain.cost import Price, Usage, cost_usd, declared_over
from gateway.domain.model import Model, Provider
from gateway.domain.ports import ProviderState
from gateway.registry.enrich import Enricher, Found


class PriceMap(Protocol):
    """The catalogue's facts about cloud models, as this room uses them. The first question may block to read a file."""

    problem: str

    def facts(self, *, litellm_name: str, model: str) -> CloudFact | None:
        """What is known of one model."""


class CloudSource:
    """One cloud provider. Implements ``ModelSource``. Always up: whether it answers shows when it is called."""

    def __init__(
        self, *, provider: Provider, models: Sequence[CloudModel], facts: PriceMap, enricher: Enricher
    ) -> None:
        self._provider = provider
        self._models = tuple(model for model in models if model.provider == provider.name)
        self._facts = facts
        self._enricher = enricher

    @property
    def provider(self) -> Provider:
        return self._provider

    async def discover(self) -> tuple[ProviderState, Sequence[Model]]:
        """The declared models with what the catalogue knows of them."""
        if not self._models:
            return ProviderState(provider=self._provider, up=True), ()
        models = await asyncio.to_thread(lambda: [self._enricher.model(self._found(one)) for one in self._models])
        warnings = tuple(filter(None, (self._facts.problem, self._uncounted())))
        return ProviderState(provider=self._provider, up=True, warnings=warnings), models

    def _uncounted(self) -> str:
        """What the budget cannot count, as a warning; empty where it counts all."""
        name, budget = self._provider.name, self._provider.budget
        if budget is None or (budget.daily_usd is None and budget.monthly_usd is None):
            return ""
        unknown = [one.name for one in self._models if not self._counts(one)]
        if not unknown:
            return ""
        return (
            f"the budget of {name} cannot count what {', '.join(unknown)} costs: no price is known;"
            f" declare input_usd_per_mtok and output_usd_per_mtok under cloud_providers.{name}.models"
        )

    def _counts(self, one: CloudModel) -> bool:
        """Whether the cost of its answers is known."""
        fact = self._facts.facts(litellm_name=self._provider.litellm_name, model=one.name)
        usage = Usage(prompt=1, completion=0 if fact is not None and fact.embeds else 1)
        return cost_usd(usage, price_of(one, provider=self._provider, facts=self._facts)) is not None

    def _found(self, one: CloudModel) -> Found:
        fact = self._facts.facts(litellm_name=self._provider.litellm_name, model=one.name)
        return Found(
            provider=self._provider,
            name=one.name,
            cloud=True,
            chats=fact.chats if fact is not None else None,
            embeds=fact.embeds if fact is not None else None,
            identity=ModelIdentity(name=one.name),
            declared=one.capabilities,
            catalog=fact.capabilities() if fact is not None else NOTHING_KNOWN,
            cost_usd_per_mtok=_cost(one, fact),
        )


def price_of(one: CloudModel, *, provider: Provider, facts: PriceMap) -> Price:
    """What the tokens of a declared model cost: the operator's word, else the catalogue's. May block to read a file."""
    fact = facts.facts(litellm_name=provider.litellm_name, model=one.name)
    return declared_over(
        Price() if fact is None else fact.price,
        into=one.input_usd_per_mtok,
        out=one.output_usd_per_mtok,
        cached=one.cached_usd_per_mtok,
    )


def _cost(one: CloudModel, fact: CloudFact | None) -> float | None:
    """The mean of both prices: the operator's, else the catalogue's."""
    prices = [price for price in (one.input_usd_per_mtok, one.output_usd_per_mtok) if price is not None]
    if len(prices) == 2:
        return sum(prices) / 2
    return fact.cost_usd_per_mtok if fact is not None else None
