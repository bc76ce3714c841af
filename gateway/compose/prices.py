"""What the tokens of a model cost, for the live configuration and for whoever asks beside it."""

from typing import Final

from gateway.catalog.cloud import CloudFacts
from gateway.config.settings import CloudModel, Configuration
from gateway.domain.capabilities import NOTHING_KNOWN
from gateway.domain.cost import Price, Usage, cost_usd
from gateway.domain.model import parse_reference
from gateway.errors import BadRequest
from gateway.registry.cloud import price_of

_ONE_EACH: Final = Usage(prompt=1, completion=1)


class PriceList:
    """The prices under one configuration. The first question may block to read a file; each answer is kept."""

    def __init__(self, configuration: Configuration, *, facts: CloudFacts) -> None:
        self.configuration = configuration
        self._facts = facts
        self._providers = {one.name: one for one in configuration.providers if one.cloud}
        self._models = {(one.provider, one.name): one for one in configuration.cloud_models}
        self._known: dict[str, Price | None] = {}

    def price(self, reference: str) -> Price | None:
        """That of ``provider:model``; ``None`` where the provider is no cloud of this configuration."""
        if reference not in self._known:
            self._known[reference] = self._found(reference)
        return self._known[reference]

    def as_if(self, reference: str) -> Price:
        """The price of a model that others are to be told at. Raises ``BadRequest`` where there is none."""
        price = self.price(reference)
        if price is None or cost_usd(_ONE_EACH, price) is None:
            clouds = ", ".join(sorted(self._providers)) or "none"
            raise BadRequest(
                f'no price is known for "{reference}"',
                param="as",
                hint=f"name a model as provider:model, of a cloud provider that is configured ({clouds}), with a known price",
            )
        return price

    def _found(self, reference: str) -> Price | None:
        named = parse_reference(reference, providers=self._providers)
        provider = self._providers.get(named.provider)
        if provider is None:
            return None
        model = self._models.get((named.provider, named.name)) or CloudModel(
            provider=named.provider, name=named.name, capabilities=NOTHING_KNOWN
        )
        return price_of(model, provider=provider, facts=self._facts)
