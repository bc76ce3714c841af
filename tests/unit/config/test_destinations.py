"""An edit by somebody who is not to have the keys cannot say where one goes; whoever edits the files may."""

import json
from collections.abc import Mapping
from dataclasses import replace

import pytest

from gateway.config import bundle, profile_edits
from gateway.config.drafts import Check
from gateway.file_errors import ConfigInvalid
from unit.config.sandbox import Sandbox

BASE = {
    "role_mappings": {"planner": {"preferred": ["lab:small"], "cloud_fallback": "openai:gpt-4o-mini"}},
    "local_providers": {
        "lab": {"kind": "openai", "url": "http://127.0.0.1:8000/v1"},
        "shed": {"kind": "openai", "url": "http://127.0.0.1:8001/v1"},
    },
    "cloud_providers": {"openai": {}, "work": {"api_endpoint": "https://work.example.org/v1", "lane": "openai"}},
}
THIEF = "http://127.0.0.1:9/v1"
PLACE = "config/user_profiles/mine.json:3"
HINT = "; allowed: over HTTP, what a file says already; edit the file, or use `rolegate profiles set`"


@pytest.fixture
def house(sandbox: Sandbox) -> Sandbox:
    elsewhere = {"cloud_providers": {"openai": {"api_endpoint": "https://eu.example.org/v1"}}}
    sandbox.write({"models.json": json.dumps(BASE), "user_profiles/eu.json": json.dumps(elsewhere)})
    return sandbox


def over_http(house: Sandbox) -> Check:
    return replace(house.check(), keyed=lambda name: name in {"lab", "github"})


def put(house: Sandbox, values: Mapping[str, object], *, name: str = "mine") -> None:
    profile_edits.put(name, values, folder=house.folder, check=over_http(house))


def refused(house: Sandbox, values: Mapping[str, object], *, name: str = "mine") -> list[str]:
    with pytest.raises(ConfigInvalid) as error:
        put(house, values, name=name)
    assert not (house.folder / "user_profiles" / f"{name}.json").exists()
    return house.told(error.value.problems)


@pytest.mark.parametrize(
    ("values", "setting", "value", "provider"),
    [
        (
            {"cloud_providers": {"openai": {"api_endpoint": THIEF}}},
            "cloud_providers.openai.api_endpoint",
            THIEF,
            "openai",
        ),
        ({"cloud_providers": {"new": {"api_endpoint": THIEF}}}, "cloud_providers.new.api_endpoint", THIEF, "new"),
        (
            {"cloud_providers": {"openai": {"litellm_provider": "groq"}}},
            "cloud_providers.openai.litellm_provider",
            "groq",
            "openai",
        ),
        ({"local_providers": {"lab": {"url": THIEF}}}, "local_providers.lab.url", THIEF, "lab"),
        (
            {"local_providers": {"github": {"kind": "ollama", "url": THIEF}}},
            "local_providers.github.url",
            THIEF,
            "github",
        ),
        (
            {"local_providers": {"github": {"kind": "ollama"}}},
            "local_providers.github.url",
            "the usual address",
            "github",
        ),
    ],
)
def test_a_key_is_sent_nowhere_where_no_file_sends_it(
    values: Mapping[str, object], setting: str, value: str, provider: str, house: Sandbox
) -> None:
    assert refused(house, values) == [
        f'{PLACE}: {setting}: found "{value}", where no file sends the key of {provider}{HINT}'
    ]
    profile_edits.put("mine", values, folder=house.folder, check=house.check())
    put(house, values, name="theirs")


@pytest.mark.parametrize(
    "values",
    [
        {"cloud_providers": {"openai": {"api_endpoint": "https://eu.example.org/v1/"}}},
        {"cloud_providers": {"work": {"api_endpoint": "https://work.example.org/v1", "models": {"m": {}}}}},
        {"cloud_providers": {"work": None, "mistral": {}}},
        {"local_providers": {"shed": {"url": THIEF}, "attic": {"kind": "ollama", "url": THIEF}}},
        {"local_providers": {"lab": {"max_parallel": 2}}},
        {"local_providers": {"github": {"kind": "embedded"}}},
    ],
)
def test_what_a_file_says_already_and_what_has_no_key_may_be_said_again(
    values: Mapping[str, object], house: Sandbox
) -> None:
    put(house, values)


def test_an_address_of_one_provider_is_none_of_another(house: Sandbox) -> None:
    values = {"cloud_providers": {"openai": {"api_endpoint": "https://work.example.org/v1"}}}
    assert "where no file sends the key of openai" in refused(house, values)[0]


def test_an_address_that_comes_of_what_a_profile_lies_over_is_found(house: Sandbox) -> None:
    put(house, {"local_providers": {"lab": None}, "role_mappings": {"planner": {"preferred": []}}}, name="without")
    put(house, {"local_providers": {"lab": {"kind": "ollama"}}}, name="over-all")
    (told,) = refused(house, {"extends": "without", "local_providers": {"lab": {"kind": "ollama"}}})
    found = 'found "the usual address", where no file sends the key of lab'
    assert told == f"config/user_profiles/mine.json:4: local_providers.lab.url: {found}{HINT}"


def test_single_values_and_bundles_are_held_to_it_too(house: Sandbox) -> None:
    put(house, {"description": "mine"})
    with pytest.raises(ConfigInvalid, match="where no file sends the key of openai"):
        profile_edits.assign(
            "mine",
            [f"cloud_providers.openai.api_endpoint={THIEF}"],
            folder=house.folder,
            check=over_http(house),
        )
    profile_edits.create(
        "theirs",
        folder=house.folder,
        check=house.check(),
        values={"cloud_providers": {"openai": {"api_endpoint": THIEF}}},
    )
    carried = bundle.export("theirs", folder=house.folder)
    (house.folder / "user_profiles" / "theirs.json").unlink()
    with pytest.raises(ConfigInvalid, match="where no file sends the key of openai"):
        bundle.import_(carried, folder=house.folder, check=over_http(house), source="the body")
