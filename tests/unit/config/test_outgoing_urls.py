"""Where a cloud provider may be is said in the configuration, and checked there as far as it goes."""

import pytest
from pydantic import ValidationError

from gateway.config.fields import is_url
from gateway.config.outgoing import outgoing_findings
from gateway.config.schema import CloudProviderEntry

NO_URLS = [
    "ftp://host/v1",
    "file:///etc/passwd",
    "gopher://host:70/_",
    "data:text/plain,hello",
    "javascript:alert(1)",
    "unix:///run/ollama.sock",
    "//host/v1",
    "host:443/v1",
    "https://user@host/v1",
    "https://user:word@host/v1",
    "https://@host/v1",
    "https://api.openai.com@10.0.0.1/v1",
    "https://10.0.0.1\\@api.openai.com/v1",
    "https://api.openai.com\\.evil.test/v1",
    "https://host /v1",
    "https://host\t/v1",
    "https://host\r\nHost: evil.test/v1",
    "https://host/v1?api_base=http://10.0.0.1",
    "https://host/v1#@10.0.0.1",
    "https://host:0/v1",
    "https://host:99999/v1",
    "https://[::1/v1",
    "https://",
    "",
]
PATH = ("cloud_providers", "openai", "api_endpoint")
HTTPS = "https://, or plain http:// to this machine (127.0.0.1, [::1] or localhost)"
USUAL = "a host's name, or its address in the usual form"
PUBLIC = "a public address, or a name of one"
OWN = "a server on your own network is a local provider: local_providers, kind openai"


def found(endpoint: object) -> list[tuple[str, str, str]]:
    values = {"cloud_providers": {"openai": {"api_endpoint": endpoint}}}
    told = list(outgoing_findings(values))
    assert all(one.path == PATH and not one.doubtful for one in told)
    return [(one.found, one.allowed, one.hint) for one in told]


@pytest.mark.parametrize("text", NO_URLS)
def test_what_readers_could_read_differently_is_no_address_of_a_server(text: str) -> None:
    assert not is_url(text)
    with pytest.raises(ValidationError):
        CloudProviderEntry.model_validate({"api_endpoint": text})


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://api.openai.com/v1",
        "https://93.184.216.34/v1",
        "https://[2606:2800:220:1:248:1893:25c8:1946]:8443/v1",
        "https://b\u00fccher.example/v1",
        "http://127.0.0.1:8000/v1",
        "http://localhost:8000/v1",
        "http://[::1]:8000/v1",
        "https://127.0.0.1:8000/v1",
        7,
        None,
        "not a url",
    ],
)
def test_https_to_anywhere_public_and_http_to_this_machine_are_fine(endpoint: object) -> None:
    assert found(endpoint) == []


@pytest.mark.parametrize("endpoint", ["http://api.openai.com/v1", "http://93.184.216.34/v1"])
def test_plain_http_elsewhere_is_refused(endpoint: str) -> None:
    assert found(endpoint) == [(f'"{endpoint}"', HTTPS, "keys and prompts would go unencrypted")]


@pytest.mark.parametrize(
    ("endpoint", "kind"),
    [
        ("https://10.0.0.1/v1", "a private address"),
        ("http://192.168.1.10:8000/v1", "a private address"),
        ("https://169.254.169.254/v1", "a link-local address"),
        ("https://[fe80::1]/v1", "a link-local address"),
        ("https://0.0.0.0:8000/v1", "an unspecified address"),
        ("https://[::ffff:10.0.0.1]/v1", "a private address"),
        ("https://[fd00:ec2::254]/v1", "a private address"),
        ("https://224.0.0.1/v1", "a multicast address"),
    ],
)
def test_an_address_that_is_not_public_is_refused(endpoint: str, kind: str) -> None:
    assert found(endpoint) == [(f'"{endpoint}", {kind}', PUBLIC, OWN)]


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://127.1/v1",
        "https://0x7f000001/v1",
        "https://2130706433/v1",
        "https://0177.0.0.1/v1",
        "https://%31%32%37.0.0.1/v1",
        "https://\uff11\uff12\uff17.0.0.1/v1",
        "https://127\u30020\u30020\u30021/v1",
    ],
)
def test_an_address_in_an_odd_form_is_refused(endpoint: str) -> None:
    told = found(endpoint)
    assert [one[1:] for one in told] == [(USUAL, "")]


@pytest.mark.parametrize("url", ["http://ollama.com", "http://api.OLLAMA.com.:80/v1", "http://\uff4fllama.com"])
def test_ollamas_cloud_is_no_server_of_ones_own(url: str) -> None:
    (told,) = outgoing_findings({"local_providers": {"theirs": {"url": url}}})
    assert (told.path, told.found) == (("local_providers", "theirs", "url"), f'"{url}"')
    assert (told.allowed, told.hint) == ("https:// to Ollama's cloud", "keys and prompts would go unencrypted")


@pytest.mark.parametrize(
    "url", ["https://ollama.com", "http://10.0.0.5:11434", "http://ollama.lan:11434", "http://ollama:11434", 7, None]
)
def test_a_server_of_ones_own_may_be_anywhere(url: object) -> None:
    assert list(outgoing_findings({"local_providers": {"mine": {"url": url}}})) == []


def test_a_cloud_model_that_is_named_like_an_address_is_refused_wherever_it_is_named() -> None:
    thief = "https://10.0.0.1/v1"
    values = {
        "role_mappings": {
            "planner": {
                "cloud_fallback": f"huggingface:{thief}",
                "preferred": ["huggingface:org/model", f"lab:{thief}"],
            }
        },
        "cloud_providers": {"huggingface": {"models": {thief: {}, "org/model": {}}}, "openai": None},
        "selection": {"system_default": f"huggingface:{thief}"},
    }
    hint = "an address goes under api_endpoint"
    assert [(one.path, one.found, one.allowed, one.hint) for one in outgoing_findings(values)] == [
        (path, f'"{thief}"', "a model's name", hint)
        for path in (
            ("cloud_providers", "huggingface", "models", thief),
            ("role_mappings", "planner", "cloud_fallback"),
            ("selection", "system_default"),
        )
    ]
