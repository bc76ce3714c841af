"""Names that would mean two things: a provider called like an installed model."""

from gateway.config.settings import Configuration
from gateway.domain.model import ProviderKind
from gateway.domain.ports import Discovery
from gateway.errors import Problem
from gateway.file_errors import ConfigInvalid


def check_names(configuration: Configuration, discovery: Discovery) -> None:
    """Raises ``ConfigInvalid`` when ``mistral:latest`` could be a model of provider ``mistral`` and an installed Ollama model."""
    kinds = {state.provider.name: state.provider.kind for state in discovery.providers}
    problems = []
    for model in discovery.models:
        if kinds[model.ref.provider] is not ProviderKind.OLLAMA:
            continue
        name = model.ref.name.partition(":")[0]
        if name in kinds:
            problems.append(_clash(configuration, provider=name, model=str(model.ref)))
    if problems:
        raise ConfigInvalid(problems)


def _clash(configuration: Configuration, *, provider: str, model: str) -> Problem:
    for section in ("local_providers", "cloud_providers"):
        source = configuration.provenance.at((section, provider))
        if source is not None:
            return Problem(
                file=source.file,
                key_path=f"{section}.{provider}",
                found=f'a provider named "{provider}", and an installed model {model}',
                allowed="a provider name that no installed Ollama model has",
                hint="rename the provider",
            )
    raise LookupError(provider)
