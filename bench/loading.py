"""Configuration: 1,000 model entries and 200 profiles, read, merged and checked."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.measure import Result, timed
from gateway.config.environ import Environment
from gateway.config.load import load

MODELS, PROFILES = 1_000, 200


def results() -> Iterator[Result]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write(folder)
        environment = Environment(variables={"HOME": name})

        def read() -> object:
            return load(folder=folder, state_folder=folder / "state", environment=environment, profile="p0")

        yield timed(read, name="config", what=f"{MODELS:,} model entries and {PROFILES} profiles", budget_ms=300)


def _write(folder: Path) -> None:
    capabilities = {"context_length": 32_000, "reasoning_strength": 0.7, "coding_strength": 0.6}
    content = {
        "schema_version": 1,
        "role_mappings": {"planner": {"preferred": ["m0:7b"], "requirements": {"reasoning_strength": 0.5}}},
        "model_profiles": {f"m{number}:7b": {"capabilities": capabilities} for number in range(MODELS)},
        "local_providers": {"ollama": {"kind": "ollama"}},
    }
    (folder / "models.json").write_text(json.dumps(content, indent=2), encoding="utf-8")
    profiles = folder / "user_profiles"
    profiles.mkdir()
    for number in range(PROFILES):
        profile = {
            "role_mappings": {
                f"role{each}": {"preferred": [f"m{number + each}:7b"], "weights": {"speed": 0.3}} for each in range(5)
            }
        }
        (profiles / f"p{number}.json").write_text(json.dumps(profile, indent=2), encoding="utf-8")
