"""Where provider keys come from: precedence, what is read again, and what happens when the vault stays locked."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from builders import a_provider
from gateway.compose.keys import ProviderKeys
from gateway.compose.parts import Endpoints
from gateway.config.environ import Environment
from gateway.domain.failure import FailureClass
from gateway.domain.model import ModelRef, Provider, ProviderKind
from gateway.domain.secret import Secret
from gateway.errors import RolegateError, UpstreamFailed
from gateway.file_errors import VaultLocked, VaultUnreadable
from gateway.vault.vault import KeyFile, Opener, Passphrase, Vault


class Place:
    """An installation in a folder, as keys see it."""

    def __init__(self, folder: Path) -> None:
        self.config, self.state = folder / "config", folder / "state"
        self.config.mkdir()
        self.vault = Vault(self.config / "api_keys.json")
        self.file = KeyFile(path=self.state / "vault.key")

    def put(self, *, unlock: Opener | None = None, **keys: str) -> None:
        for provider, text in keys.items():
            self.vault.set(provider, Secret(text), unlock=unlock or self.file)

    def keys(self, *, asked: str = "", **variables: str) -> ProviderKeys:
        return ProviderKeys(
            environment=Environment(variables=variables),
            config_folder=self.config,
            state_folder=self.state,
            passphrase=Secret(asked) if asked else None,
        )


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def phrase(text: str) -> Passphrase:
    return Passphrase(secret=Secret(text))


def cloud(name: str, **more: Any) -> Provider:
    return a_provider(name, kind=ProviderKind.CLOUD, key_variable=f"{name.upper()}_API_KEY", **more)


def shown(keys: ProviderKeys, *names: str) -> list[str | None]:
    return [None if (key := keys.key(name)) is None else key.reveal() for name in names]


def test_a_variable_counts_before_the_vault(place: Place) -> None:
    place.put(openai="in-the-vault", anthropic="in-the-vault-too")
    keys = place.keys(OPENAI_API_KEY="in-a-variable")
    keys.read()
    assert shown(keys, "openai", "anthropic", "gemini") == ["in-a-variable", "in-the-vault-too", None]
    assert [keys.origin(name) for name in ("openai", "anthropic", "gemini")] == ["environment", "vault", None]
    assert keys.held == {"openai", "anthropic"}
    assert keys.warnings == ()


def test_what_the_vault_has_shows_without_opening_it(place: Place) -> None:
    place.put(openai="in-the-vault", unlock=phrase("correct horse"))
    keys = place.keys()
    keys.look()
    assert (keys.origin("openai"), keys.key("openai"), keys.wants_passphrase) == ("vault", None, True)
    told = keys.known_to([cloud("openai"), cloud("anthropic"), a_provider("embedded", key_variable="")])
    assert [one.has_key for one in told] == [True, False, False]


def test_a_vault_that_changes_is_read_again_and_who_listens_hears_what_is_new(place: Place) -> None:
    place.put(openai="first", anthropic="same")
    keys = place.keys(GEMINI_API_KEY="in-a-variable")
    heard: list[str] = []
    moved: list[str] = []
    keys.tell(lambda secret: heard.append(secret.reveal()))
    keys.read()
    keys.when_moved(moved.append)
    assert shown(keys, "openai", "anthropic") == ["first", "same"]
    place.put(openai="second", gemini="not-the-one-that-counts")
    keys.read()
    assert shown(keys, "openai", "anthropic", "gemini") == ["second", "same", "in-a-variable"]
    assert moved == ["openai"]
    assert {"in-a-variable", "first", "same", "second", "not-the-one-that-counts"} == set(heard)
    place.vault.remove("openai", unlock=place.file)
    keys.read()
    assert shown(keys, "openai", "anthropic") == [None, "same"]
    place.vault.path.unlink()
    keys.read()
    assert (shown(keys, "anthropic"), keys.lock) == ([None], "")


def test_the_same_key_put_in_again_is_news_of_its_provider_alone(place: Place) -> None:
    """Whoever has mended an account at the provider's has no other key to give."""
    place.put(openai="same", anthropic="same")
    keys = place.keys()
    keys.read()
    moved: list[str] = []
    keys.when_moved(moved.append)
    place.put(openai="same")
    keys.read()
    assert moved == ["openai"]
    keys.read()
    assert moved == ["openai"]


def test_secrets_of_the_environment_are_told_and_short_words_of_others_are_not(place: Place) -> None:
    heard: list[str] = []
    keys = place.keys(
        asked="typed by hand",
        ROLEGATE_CLIENT_KEY="rg-mine",
        ROLEGATE_ADMIN_KEY="rga-mine",
        SOME_API_KEY="long-enough",
        OTHER_API_KEY="none",
    )
    keys.tell(lambda secret: heard.append(secret.reveal()))
    assert sorted(heard) == ["long-enough", "rg-mine", "rga-mine", "typed by hand"]


def test_a_passphrase_that_was_asked_for_counts_before_the_one_of_the_environment(place: Place) -> None:
    place.put(openai="kept", unlock=phrase("correct horse"))
    keys = place.keys(asked="correct horse", ROLEGATE_VAULT_PASSPHRASE="a wrong one")
    keys.read()
    assert shown(keys, "openai") == ["kept"]


@pytest.mark.parametrize(
    ("variables", "providers", "raises"),
    [
        ({}, [cloud("openai")], True),
        ({"OPENAI_API_KEY": "x"}, [cloud("openai")], False),
        ({}, [cloud("anthropic")], False),
        ({}, [], False),
    ],
    ids=["its key is in there", "its key is elsewhere too", "its key is not in there", "nobody there"],
)
def test_a_locked_vault_is_an_error_only_for_who_needs_it(
    variables: dict[str, str], providers: Sequence[Provider], raises: bool, place: Place
) -> None:
    place.put(openai="kept", unlock=phrase("correct horse"))
    keys = place.keys(**variables)
    keys.read()
    reason = f"{place.vault.path} stays locked: it needs its passphrase, and none was given"
    assert keys.warnings[0].startswith(reason)
    if raises:
        with pytest.raises(VaultLocked, match="it needs its passphrase"):
            keys.require(providers)
    else:
        keys.require(providers)


def test_a_damaged_vault_is_an_error_for_cloud_providers_without_another_key(place: Place) -> None:
    place.vault.path.write_text("{}", encoding="utf-8")
    keys = place.keys(OPENAI_API_KEY="x")
    keys.read()
    keys.require([cloud("openai"), a_provider("lab", kind=ProviderKind.OPENAI, key_variable="LAB_API_KEY")])
    with pytest.raises(VaultUnreadable):
        keys.require([cloud("anthropic")])


def test_a_vault_that_cannot_be_opened_any_more_leaves_what_was_known_and_opens_once_it_can(place: Place) -> None:
    place.put(openai="kept", unlock=phrase("correct horse"))
    keys = place.keys(ROLEGATE_VAULT_PASSPHRASE="correct horse")
    keys.read()
    place.vault.rotate(unlock=phrase("correct horse"), to=phrase("battery staple"))
    keys.read()
    trouble: RolegateError | None = keys.trouble
    assert isinstance(trouble, VaultLocked)
    assert shown(keys, "openai") == ["kept"]
    place.vault.rotate(unlock=phrase("battery staple"), to=phrase("correct horse"))
    keys.read()
    assert (keys.trouble, keys.warnings) == (None, ())


def test_a_vault_that_others_may_read_is_told_of(place: Place) -> None:
    place.put(openai="kept")
    place.vault.path.chmod(0o644)
    keys = place.keys()
    keys.read()
    assert [one.partition(" (mode")[0] for one in keys.warnings] == [f"{place.vault.path} may be read by other users"]


def test_the_vault_is_opened_for_those_who_have_a_key_in_it_and_nowhere_else(place: Place) -> None:
    place.put(lab="kept")
    keys = place.keys(OPENAI_API_KEY="x")
    keys.look()
    keys.open_for([cloud("openai")])
    assert shown(place.keys(), "lab") == [None]
    keys.open_for([a_provider("lab", kind=ProviderKind.OPENAI, key_variable="LAB_API_KEY")])
    assert shown(keys, "lab") == ["kept"]


async def test_a_cloud_that_speaks_openais_wire_is_not_asked_without_a_key(place: Place) -> None:
    provider = cloud("openai", url="https://127.0.0.1:9/v1", has_key=True)
    endpoints = Endpoints(engine=None, keys=place.keys())
    with pytest.raises(UpstreamFailed, match='no key is known for the provider "openai"') as failed:
        await endpoints.resolve(ModelRef(provider="openai", name="m"), provider=provider, context_tokens=None)
    assert failed.value.failure is FailureClass.AUTH
