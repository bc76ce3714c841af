"""Where a running gateway is looked for, by whoever looks because its files are broken."""

import json
from pathlib import Path

import pytest

from gateway.compose.address import likely_url
from gateway.compose.workspace import Options, Workspace


def url(folder: Path, user_models: object) -> str:
    (folder / "models.json").write_text('{"gateway": {"host": "::1", "port": 4100}}', encoding="utf-8")
    text = user_models if isinstance(user_models, str) else json.dumps(user_models)
    (folder / "user_models.json").write_text(text, encoding="utf-8")
    return likely_url(Workspace.open(Options(config_dir=folder)))


@pytest.mark.parametrize(
    ("user_models", "expected"),
    [
        ({}, "http://[::1]:4100"),
        ("{", "http://[::1]:4100"),
        ({"gatewy": {}}, "http://[::1]:4100"),
        ({"gateway": {"port": 4200}, "gatewy": {}}, "http://[::1]:4200"),
        ({"gateway": {"port": "x", "host": "0.0.0.0"}}, "http://127.0.0.1:4000"),
        ({"gateway": 3}, "http://[::1]:4100"),
    ],
)
def test_what_can_be_read_has_to_do(user_models: object, expected: str, tmp_path: Path) -> None:
    assert url(tmp_path, user_models) == expected


def test_a_variable_stands_above_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROLEGATE_PORT", "4300")
    monkeypatch.setenv("ROLEGATE_HOST", "localhost")
    assert url(tmp_path, "{") == "http://localhost:4300"
    monkeypatch.setenv("ROLEGATE_PORT", "none")
    assert url(tmp_path, "{") == "http://localhost:4100"
