"""Where the keys and prompts of cloud providers may be sent, as far as an address tells by itself. Pure.

What a name leads to is only known when a connection is made, and is checked then.
"""

from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import urlsplit

from gateway.config.consistency import Finding, cloud_models_of, written_references
from gateway.config.fields import is_url
from gateway.config.set_path import KeyPath
from gateway.config.wording import quoted
from gateway.domain.address import is_odd_number, kind_of, names_loopback, names_ollamas_cloud, usual_form

_HTTPS: Final = "https://, or plain http:// to this machine (127.0.0.1, [::1] or localhost)"
_PUBLIC: Final = "a public address, or a name of one"
_UNENCRYPTED: Final = "keys and prompts would go unencrypted"
_OWN: Final = "a server on your own network is a local provider: local_providers, kind openai"


def outgoing_findings(values: Mapping[str, object]) -> Iterator[Finding]:
    """Every ``api_endpoint`` of merged ``values`` that no key may be sent to, every cloud model that is named like an address,
    which some clients would ask in the provider's place, and every ``url`` of a local provider that is at a cloud after all, and
    unencrypted."""
    clouds = _section(values, "cloud_providers")
    for name, entry in clouds.items():
        endpoint = entry.get("api_endpoint") if isinstance(entry, Mapping) else None
        if isinstance(endpoint, str) and is_url(endpoint):
            yield from _endpoint(("cloud_providers", name, "api_endpoint"), endpoint)
        for model in cloud_models_of(values, provider=name):
            yield from _model(("cloud_providers", name, "models", model), model)
    for path, text, _ in written_references(values):
        provider, _, model = text.partition(":")
        if provider in clouds:
            yield from _model(path, model)
    for name, entry in _section(values, "local_providers").items():
        url = entry.get("url") if isinstance(entry, Mapping) else None
        if isinstance(url, str) and is_url(url):
            yield from _own_server(("local_providers", name, "url"), url)


def _section(values: Mapping[str, object], name: str) -> Mapping[str, object]:
    section = values.get(name)
    return section if isinstance(section, Mapping) else {}


def _model(path: KeyPath, model: str) -> Iterator[Finding]:
    if "://" in model:
        yield Finding(
            path=path, found=quoted(model), allowed="a model's name", hint="an address goes under api_endpoint"
        )


def _endpoint(path: tuple[str, ...], endpoint: str) -> Iterator[Finding]:
    parts = urlsplit(endpoint)
    host = parts.hostname or ""
    if names_loopback(host):
        return
    usual = usual_form(host)
    if is_odd_number(usual) or "%" in host or (usual != host and kind_of(usual) != "no address"):
        yield Finding(path=path, found=quoted(endpoint), allowed="a host's name, or its address in the usual form")
        return
    kind = kind_of(host)
    if kind not in ("", "no address"):
        yield Finding(path=path, found=f"{quoted(endpoint)}, {kind}", allowed=_PUBLIC, hint=_OWN)
    elif parts.scheme != "https":
        yield Finding(path=path, found=quoted(endpoint), allowed=_HTTPS, hint=_UNENCRYPTED)


def _own_server(path: tuple[str, ...], url: str) -> Iterator[Finding]:
    parts = urlsplit(url)
    if parts.scheme != "https" and names_ollamas_cloud(parts.hostname or ""):
        yield Finding(path=path, found=quoted(url), allowed="https:// to Ollama's cloud", hint=_UNENCRYPTED)
