"""Settings are declared once; everything else follows."""

import dataclasses

import pytest

from gateway.config.schema import CapabilitiesEntry, ConfigFile, GatewayEntry
from gateway.config.settings import SETTINGS, GatewaySettings
from gateway.domain.capabilities import ABILITIES, CAPABILITY_FIELDS, FEATURE_FIELDS


def test_every_setting_has_a_flag_a_variable_and_a_sentence() -> None:
    assert {name: (one.flag, one.variable, one.kind, one.default) for name, one in SETTINGS.items()} == {
        "host": ("--host", "ROLEGATE_HOST", "text", "127.0.0.1"),
        "port": ("--port", "ROLEGATE_PORT", "integer", 4000),
        "hot_swap": ("--hot-swap/--no-hot-swap", "ROLEGATE_HOT_SWAP", "boolean", False),
        "expose_models": ("--expose-models/--no-expose-models", "ROLEGATE_EXPOSE_MODELS", "boolean", True),
        "body_limit_bytes": ("--body-limit-bytes", "ROLEGATE_BODY_LIMIT_BYTES", "integer", 33_554_432),
        "max_connections": ("--max-connections", "ROLEGATE_MAX_CONNECTIONS", "integer", 8192),
        "shutdown_grace_s": ("--shutdown-grace-s", "ROLEGATE_SHUTDOWN_GRACE_S", "integer", 30),
        "log_format": ("--log-format", "ROLEGATE_LOG_FORMAT", "choice", "text"),
        "embedded": ("--embedded/--no-embedded", "ROLEGATE_EMBEDDED", "boolean", True),
        "tls_cert": ("--tls-cert", "ROLEGATE_TLS_CERT", "text", ""),
        "tls_key": ("--tls-key", "ROLEGATE_TLS_KEY", "text", ""),
    }
    assert all(one.help for one in SETTINGS.values())


def test_the_gateway_section_has_exactly_the_settings() -> None:
    assert (
        list(GatewayEntry.model_fields) == list(SETTINGS) == [one.name for one in dataclasses.fields(GatewaySettings)]
    )


@pytest.mark.parametrize("name", SETTINGS)
def test_every_default_is_allowed(name: str) -> None:
    setting = SETTINGS[name]
    assert setting.accepts(setting.default)
    assert ConfigFile.model_validate({"gateway": {name: setting.default}}).gateway is not None


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("hot_swap", "TRUE", True),
        ("hot_swap", "off", False),
        ("hot_swap", "1", True),
        ("port", "0080", 80),
        ("log_format", "json", "json"),
        ("host", "0.0.0.0", "0.0.0.0"),
    ],
)
def test_a_variables_text_becomes_the_settings_value(name: str, text: str, value: object) -> None:
    assert SETTINGS[name].parse(text) == value
    assert SETTINGS[name].accepts(value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("port", True), ("port", "80"), ("port", 0), ("hot_swap", 1), ("log_format", "xml"), ("host", ""), ("host", 7)],
)
def test_a_value_of_another_kind_is_not_accepted(name: str, value: object) -> None:
    assert not SETTINGS[name].accepts(value)


def test_the_schema_knows_every_capability_and_no_other() -> None:
    assert list(CapabilitiesEntry.model_fields) == list(CAPABILITY_FIELDS)


def test_requirements_and_weights_know_every_ability() -> None:
    from gateway.config.schema import RequirementsEntry, WeightsEntry

    assert set(RequirementsEntry.model_fields) == {*ABILITIES, *FEATURE_FIELDS, "context_length_min", "memory_gb_max"}
    assert set(WeightsEntry.model_fields) == {*ABILITIES, "speed", "cost"}
