"""What may stand in a configuration file. Every key may be absent, or ``null`` to remove what a lower layer set."""

from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    create_model,
)

from gateway.config import fields as of
from gateway.config.consistency import LANES
from gateway.config.document import SCHEMA_VERSION
from gateway.config.entry import Entry
from gateway.config.fields import Allowed
from gateway.config.parameters import ParametersEntry
from gateway.config.settings import SETTINGS, EmbeddedModel, Setting
from gateway.domain.budget import Budget
from gateway.domain.capabilities import FEATURE_FIELDS, Fact, ModelCapabilities, Origin
from gateway.domain.model import DEFAULT_QUEUE, DEFAULT_QUEUE_WAIT_S
from gateway.domain.resources import GB
from gateway.domain.role import (
    DEFAULT_CONTEXT_TOKENS,
    DEFAULT_MAX_DEPLOYMENTS,
    Deadlines,
    HoldBack,
    Manner,
    Policy,
    Requirements,
    Role,
    Task,
)


class CapabilitiesEntry(Entry):
    """Declared facts of one model."""

    context_length: of.Tokens | None = None
    quantization_level: of.Line | None = None
    model_size: of.Billions | None = Field(default=None, description="total parameters, in 10^9")
    memory_gb_estimate: of.Gigabytes | None = None
    reasoning_strength: of.Score | None = None
    coding_strength: of.Score | None = None
    creativity: of.Score | None = None
    multilingual_score: of.Score | None = None
    tool_calling: of.Score | None = None
    supports_function_calling: of.Flag | None = None
    supports_vision: of.Flag | None = None
    supports_tools: of.Flag | None = None
    supports_thinking: of.Flag | None = None
    supports_audio: of.Flag | None = Field(default=None, description="takes sound as input")
    supports_json_schema: of.Flag | None = Field(default=None, description="keeps its answer to a JSON schema")
    supports_insert: of.Flag | None = Field(default=None, description="fills in the middle (suffix)")
    supports_prefill: of.Flag | None = Field(default=None, description="goes on with a final assistant message")
    min_memory_gb: of.Gigabytes | None = None
    recommended_memory_gb: of.Gigabytes | None = None
    thermal_sensitivity: of.Score | None = None
    model_source: of.Line | None = None
    requires_api_key: of.Flag | None = None

    def to_domain(self) -> ModelCapabilities:
        return ModelCapabilities(
            **{name: Fact(value=value, origin=Origin.DECLARED) for name, value in self.given().items()}
        )


class ModelProfileEntry(Entry):
    """What the operator declares of one model."""

    capabilities: CapabilitiesEntry | None = None


class RequirementsEntry(Entry):
    """What a model must meet to serve a role."""

    reasoning_strength: of.Score | None = None
    coding_strength: of.Score | None = None
    creativity: of.Score | None = None
    multilingual_score: of.Score | None = None
    tool_calling: of.Score | None = None
    context_length_min: of.Tokens | None = Field(
        default=None, description=f"context a model must hold, in tokens ({DEFAULT_CONTEXT_TOKENS} when absent)"
    )
    memory_gb_max: of.Gigabytes | None = Field(default=None, description="most memory a model may take, in 10^9 bytes")
    supports_function_calling: of.Flag | None = None
    supports_vision: of.Flag | None = None
    supports_tools: of.Flag | None = None
    supports_thinking: of.Flag | None = None
    supports_audio: of.Flag | None = Field(default=None, description="takes sound as input")
    supports_json_schema: of.Flag | None = Field(default=None, description="keeps its answer to a JSON schema")
    supports_insert: of.Flag | None = Field(default=None, description="fills in the middle (suffix)")
    supports_prefill: of.Flag | None = Field(default=None, description="goes on with a final assistant message")

    def to_domain(self) -> Requirements:
        given = self.given()
        memory_gb = given.pop("memory_gb_max", None)
        context_tokens = given.pop("context_length_min", None)
        features = {name: given.pop(name) for name in FEATURE_FIELDS if name in given}
        return Requirements(
            scores=MappingProxyType(given),
            features=frozenset(name for name, wanted in features.items() if wanted),
            context_min_tokens=context_tokens,
            memory_max_bytes=None if memory_gb is None else round(memory_gb * GB),
        )


class WeightsEntry(Entry):
    """How candidates that ``preferred`` does not name are ranked."""

    reasoning_strength: of.Weight | None = None
    coding_strength: of.Weight | None = None
    creativity: of.Weight | None = None
    multilingual_score: of.Weight | None = None
    tool_calling: of.Weight | None = None
    speed: of.Weight | None = None
    cost: of.Weight | None = None


class DeadlinesEntry(Entry):
    """Seconds; what is absent takes the default of the deployment's kind."""

    connect_s: of.Seconds | None = None
    load_s: of.Seconds | None = None
    first_token_s: of.Seconds | None = None
    gap_s: of.Seconds | None = None
    total_s: of.Seconds | None = None

    def to_domain(self) -> Deadlines:
        return Deadlines(**self.given())


class HoldBackEntry(Entry):
    """What is kept back of a streamed answer before its first part is sent."""

    characters: of.Characters | None = Field(default=None, description="until it has so many characters")
    text_age_s: of.Seconds | None = Field(default=None, description="until its first text is so old")


class RoleEntry(Entry):
    """One role: a model name that clients ask for."""

    preferred: Annotated[list[of.Reference], Allowed("a list of model references")] | None = Field(
        default=None, description="models in the operator's order"
    )
    cloud_fallback: of.OneOrMany | None = Field(default=None, description="cloud models behind the local ones")
    requirements: RequirementsEntry | None = None
    weights: WeightsEntry | None = None
    task: Literal["chat", "embedding"] | None = None
    discover: of.Flag | None = Field(default=None, description="may models outside `preferred` serve?")
    allow_cloud: of.Flag | None = None
    max_deployments: of.MaxDeployments | None = Field(
        default=None, description=f"{DEFAULT_MAX_DEPLOYMENTS} when absent"
    )
    deadlines: DeadlinesEntry | None = None
    stream_failure: Literal["terminate", "continue"] | None = Field(
        default=None, description="does another deployment go on with an answer that broke off?"
    )
    cold_start: Literal["wait", "avoid"] | None = Field(
        default=None, description="is a model that is not loaded waited for, or does a loaded one answer meanwhile?"
    )
    hold_back: HoldBackEntry | None = Field(
        default=None, description="how much of a streamed answer is kept back, so that it can fail over unseen"
    )
    keep_alive: of.KeepAlive | None = Field(
        default=None,
        description="how long Ollama keeps a model after an answer (30m, seconds, -1 for ever); its own time when absent",
    )
    parameters: ParametersEntry | None = Field(default=None, description="request defaults that a client may override")

    def to_domain(self, *, name: str) -> Role:
        given = self.given()
        if self.requirements is not None:
            given["requirements"] = self.requirements.to_domain()
        if self.weights is not None:
            given["weights"] = MappingProxyType(self.weights.given())
        if self.deadlines is not None:
            given["deadlines"] = self.deadlines.to_domain()
        if self.task is not None:
            given["task"] = Task(self.task)
        given["manner"] = self._manner(given)
        if self.parameters is not None:
            given["parameters"] = MappingProxyType(dict(self.parameters.written))
        for key in ("preferred", "cloud_fallback"):
            if key in given:
                given[key] = tuple(given[key])
        return Role(name=name, **given)

    def _manner(self, given: dict[str, Any]) -> Manner:
        """Takes out of ``given`` what belongs to it."""
        manner: dict[str, Any] = {
            key: given.pop(key) for key in ("stream_failure", "cold_start", "keep_alive") if key in given
        }
        if given.pop("hold_back", None) is not None and self.hold_back is not None:
            manner["hold_back"] = HoldBack(**self.hold_back.given())
        return Manner(**manner)


def _named(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


class EmbeddedModelEntry(Entry):
    """A GGUF file for the embedded engine; without a path, one that it knows how to pull."""

    name: of.ModelName
    path: of.FilePath | None = None

    def to_domain(self, *, folder: Path) -> EmbeddedModel:
        """A relative path is taken from the configuration folder, ``~`` from the user's home."""
        path = None if self.path is None else str(folder / Path(self.path).expanduser())
        return EmbeddedModel(name=self.name, path=path)


EmbeddedModels = Annotated[
    list[
        Annotated[
            EmbeddedModelEntry,
            BeforeValidator(_named, json_schema_input_type=of.ModelName | EmbeddedModelEntry),
            Allowed('a model\'s name, or {"name": …, "path": …}'),
        ]
    ],
    Allowed("a list of models"),
]


def _lane_of_kind(kind: str) -> dict[str, Any]:
    """JSON Schema for: a provider of this kind takes one of its lanes."""
    return {
        "if": {"properties": {"kind": {"const": kind}}, "required": ["kind"]},
        "then": {"properties": {"lane": {"enum": [*LANES[kind], None]}}},
    }


class LocalProviderEntry(Entry):
    """A place on the operator's machines that serves models."""

    model_config = ConfigDict(json_schema_extra={"allOf": [_lane_of_kind(kind) for kind in LANES]})

    kind: Literal["ollama", "embedded", "openai"] | None = None
    url: of.Url | None = None
    models: EmbeddedModels | None = Field(default=None, description="the embedded engine's models")
    lane: Literal["ollama", "openai", "litellm"] | None = None
    memory_gb: of.Gigabytes | None = Field(default=None, description="memory of a host that is not this one")
    vram_gb: of.Gigabytes | None = Field(default=None, description="GPU memory of a host that is not this one")
    max_parallel: of.Parallel | None = Field(default=None, description="requests at once; no limit when absent")
    queue: of.Queue | None = Field(default=None, description=f"requests that may wait; {DEFAULT_QUEUE} when absent")
    queue_wait_s: of.Seconds | None = Field(
        default=None, description=f"how long one may wait; {DEFAULT_QUEUE_WAIT_S:g} when absent"
    )


class CloudModelEntry(Entry):
    """What the operator declares of one cloud model; ``{}`` leaves everything to what LiteLLM knows."""

    capabilities: CapabilitiesEntry | None = None
    input_usd_per_mtok: of.Price | None = Field(default=None, description="US dollars for 10^6 tokens of a prompt")
    output_usd_per_mtok: of.Price | None = Field(default=None, description="US dollars for 10^6 tokens of an answer")
    cached_usd_per_mtok: of.Price | None = Field(
        default=None, description="US dollars for 10^6 tokens of a prompt that the provider had cached"
    )


class BudgetEntry(Entry):
    """What a cloud provider may cost. Answers of models whose price is unknown cannot be counted."""

    daily_usd: of.Price | None = Field(default=None, description="US dollars from midnight to midnight, UTC")
    monthly_usd: of.Price | None = Field(default=None, description="US dollars in a month, UTC")

    def to_domain(self) -> Budget:
        return Budget(**self.given())


class CloudProviderEntry(Entry):
    """A cloud API."""

    api_endpoint: of.Url | None = Field(
        default=None, description="https only, but to this machine; LiteLLM's own address when absent"
    )
    models: dict[of.ModelName, CloudModelEntry | None] | None = None
    lane: Literal["openai", "litellm"] | None = None
    litellm_provider: of.LiteLLMName | None = Field(
        default=None, description="the provider's name in LiteLLM, where it is not this provider's own"
    )
    budget: BudgetEntry | None = Field(default=None, description="no cloud use of it beyond that; no limit when absent")
    max_parallel: of.Parallel | None = Field(default=None, description="requests at once; no limit when absent")
    queue: of.Queue | None = Field(default=None, description=f"requests that may wait; {DEFAULT_QUEUE} when absent")
    queue_wait_s: of.Seconds | None = Field(
        default=None, description=f"how long one may wait; {DEFAULT_QUEUE_WAIT_S:g} when absent"
    )


class ThermalEntry(Entry):
    """When the machine counts as too hot."""

    hot_c: of.Celsius | None = None
    cool_c: of.Celsius | None = None
    dwell_s: of.Dwell | None = None


class SelectionEntry(Entry):
    """What holds for the selection of all roles."""

    cloud_fallback: of.Flag | None = Field(default=None, description="may cloud models serve at all?")
    system_default: of.OneOrMany | None = Field(default=None, description="tried last, for every role")
    memory_margin: of.Margin | None = Field(default=None, description="part of total memory kept free")
    co_residency: Literal["report"] | None = None
    thermal: ThermalEntry | None = None
    canary: Literal["metadata", "generate"] | None = Field(
        default=None, description="how a swap tries new deployments: asks for their metadata, or for one token too"
    )
    preload: Literal["before", "after", "never"] | None = Field(
        default=None, description="are models that a swap brings loaded before requests reach them, after, or never?"
    )
    unload: Literal["after_idle", "never"] | None = Field(
        default=None, description="are models that no role needs any more unloaded after a swap?"
    )

    def to_domain(self) -> Policy:
        given = self.given()
        thermal = given.pop("thermal", None)
        if thermal is not None:
            given |= thermal.given()
        if "system_default" in given:
            given["system_default"] = tuple(given["system_default"])
        return Policy(**given)


if TYPE_CHECKING:

    class GatewayEntry(Entry):
        """The server settings."""

else:

    def _setting_field(setting: Setting) -> tuple[Any, Any]:
        bounds = Field(ge=setting.minimum, le=setting.maximum)
        kinds = {
            "text": Annotated[str, StringConstraints(pattern=r"^\S*$" if setting.optional else r"^\S+$")],
            "integer": Annotated[int, bounds],
            "boolean": bool,
            "choice": Literal[setting.choices or ("",)],
        }
        words = of.one_of(setting.choices) if setting.choices else Allowed(setting.allowed)
        return Annotated[kinds[setting.kind], words] | None, Field(default=None, description=setting.help)

    GatewayEntry = create_model(
        "GatewayEntry",
        __base__=Entry,
        __doc__="The server settings.",
        **{setting.name: _setting_field(setting) for setting in SETTINGS.values()},
    )


class ConfigFile(Entry):
    """A layer: ``models`` or ``user_models``, and the merged whole."""

    schema_reference: of.Line | None = Field(default=None, alias="$schema")
    schema_version: Annotated[int, Field(ge=SCHEMA_VERSION, le=SCHEMA_VERSION), Allowed(str(SCHEMA_VERSION))] | None = (
        None
    )
    role_mappings: dict[of.RoleName, RoleEntry | None] | None = None
    model_profiles: dict[of.Reference, ModelProfileEntry | None] | None = None
    local_providers: dict[of.ProviderName, LocalProviderEntry | None] | None = None
    cloud_providers: dict[of.ProviderName, CloudProviderEntry | None] | None = None
    selection: SelectionEntry | None = None
    gateway: GatewayEntry | None = None


class ProfileFile(ConfigFile):
    """A profile: an overlay over all layers, and over the profile it extends."""

    extends: of.ProfileName | None = Field(default=None, description="the profile this one lies over")
    description: Annotated[str, Allowed("text")] | None = None


FILE_KEYS: Final = ("$schema", "schema_version", "extends", "description")
"""Keys that speak of their own file and are not merged."""
