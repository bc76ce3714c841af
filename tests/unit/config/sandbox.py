"""A configuration folder to fill with files and load."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.config.drafts import Check
from gateway.config.environ import Environment
from gateway.config.load import load
from gateway.config.settings import Configuration
from gateway.errors import Problem
from gateway.file_errors import ConfigInvalid

SEED = """\
schema_version: 1
role_mappings:
  planner:
    preferred: ["llama3.1:8b", "mistral:latest"]     # order is the operator's word
    cloud_fallback: "openai:gpt-4o-mini"             # one or a list
    requirements:                                    # hard
      reasoning_strength: 0.7                        # *_strength, creativity, multilingual_score: at least
      context_length_min: 8000
      memory_gb_max: 8
      supports_tools: false                          # true demands it; false or absent does not
    weights: {reasoning_strength: 0.7, speed: 0.3}   # soft; for ranking what `preferred` does not name
    discover: true                                   # may models outside `preferred` serve?
    allow_cloud: true
    deadlines: {connect_s: 2, load_s: 300, first_token_s: 60, gap_s: 30, total_s: 600}
    stream_failure: terminate                        # or continue
    parameters: {temperature: 0.2}                   # defaults a client may override
model_profiles:
  "mistral:latest":
    capabilities: {context_length: 32000, reasoning_strength: 0.7, coding_strength: 0.6, memory_gb_estimate: 5.0}
local_providers:
  ollama: {kind: ollama, url: "http://127.0.0.1:11434"}        # several allowed; memory_gb, vram_gb for a remote host
  embedded: {kind: embedded, models: ["smollm2:135m"]}         # or {name: x, path: /models/x.gguf}
  lab: {kind: openai, url: "http://127.0.0.1:8000/v1"}
cloud_providers:
  openai: {api_endpoint: "https://api.openai.com/v1", models: {"gpt-4o-mini": {}}}
  anthropic: {models: {"claude-sonnet-4-5": {}}}
selection: {cloud_fallback: true, system_default: ["mistral:latest"], memory_margin: 0.1, co_residency: report, \
thermal: {hot_c: 85, cool_c: 75, dwell_s: 60}}
gateway: {host: "127.0.0.1", port: 4000, hot_swap: false}
"""
"""The configuration that the user guide begins with."""


@dataclass(frozen=True)
class Sandbox:
    root: Path

    @property
    def folder(self) -> Path:
        return self.root / "config"

    @property
    def state(self) -> Path:
        return self.root / "state"

    def write(self, files: Mapping[str, str | bytes]) -> None:
        for name, content in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())

    def load(
        self,
        *,
        profile: str | None = None,
        flags: Mapping[str, object] | None = None,
        **variables: str,
    ) -> Configuration:
        return load(
            folder=self.folder,
            state_folder=self.state,
            environment=Environment(variables={"HOME": str(self.root), **variables}),
            profile=profile,
            flags=flags,
        )

    def problems(self, **how: str) -> list[str]:
        """What loading refuses, with the sandbox's own place left out of the messages."""
        with pytest.raises(ConfigInvalid) as refused:
            self.load(**how)  # type: ignore[arg-type]  # names of variables, beside `profile`
        assert refused.value.exit_code == 3
        return self.told(refused.value.problems)

    def check(self, **variables: str) -> Check:
        """What edits in the sandbox are judged with."""
        environment = Environment(variables={"HOME": str(self.root), **variables})
        return Check(state_folder=self.state, environment=environment)

    def told(self, problems: tuple[Problem, ...]) -> list[str]:
        return [str(problem).replace(f"{self.root}/", "") for problem in problems]
