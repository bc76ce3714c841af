"""What a loaded configuration is, and the server settings, each declared once.

A field of ``GatewaySettings`` is the declaration of a setting: its name is the key under ``gateway``, and its flag, its
environment variable, its JSON Schema and its row in the documentation all follow from it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, cast, get_args

from gateway.config.environ import OTHER_VARIABLES, PREFIX, Environment
from gateway.config.merge import Layer, Overlay, Provenance, Source
from gateway.config.wording import choices, found, listed, quoted
from gateway.domain.capabilities import ModelCapabilities
from gateway.domain.model import Provider
from gateway.domain.nearest import nearest_name
from gateway.domain.role import Policy, Role
from gateway.errors import Problem

_TRUE: Final = frozenset({"1", "true", "yes", "on"})
_FALSE: Final = frozenset({"0", "false", "no", "off"})


def _setting(
    default: object, *, about: str, minimum: int | None = None, maximum: int | None = None, optional: bool = False
) -> Any:
    told = {"help": about, "minimum": minimum, "maximum": maximum, "optional": optional}
    return field(default=default, metadata=told)


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings:
    """The server settings: the ``gateway`` section, the ``ROLEGATE_…`` variables and the flags of ``rolegate serve``."""

    host: str = _setting("127.0.0.1", about="address to listen on")
    port: int = _setting(4000, about="port to listen on", minimum=1, maximum=65_535)
    hot_swap: bool = _setting(False, about="take up configuration changes while running")
    expose_models: bool = _setting(True, about="let clients ask for models by reference, beside roles")
    body_limit_bytes: int = _setting(
        32 * 1024 * 1024, about="largest request body accepted, in bytes", minimum=1024, maximum=1024**3
    )
    max_connections: int = _setting(
        8192, about="most connections open at once; whoever comes then is refused", minimum=1, maximum=1_000_000
    )
    shutdown_grace_s: int = _setting(
        30, about="how long requests may go on after the signal to stop, in seconds", minimum=0, maximum=3600
    )
    log_format: Literal["text", "json"] = _setting("text", about="how log lines are written")
    embedded: bool = _setting(True, about="use the embedded engine")
    tls_cert: str = _setting("", about="file with the certificate (PEM) to speak TLS with", optional=True)
    tls_key: str = _setting("", about="file with its private key, if it is not in the same file", optional=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One server setting, as declared. ``kind`` is the type of its values; ``choices`` is empty unless it is ``choice``; an
    ``optional`` text may be empty."""

    name: str
    kind: Literal["text", "integer", "boolean", "choice"]
    default: str | int | bool
    help: str
    minimum: int | None = None
    maximum: int | None = None
    choices: tuple[str, ...] = ()
    optional: bool = False

    @property
    def variable(self) -> str:
        return PREFIX + self.name.upper()

    @property
    def flag(self) -> str:
        """``--port``; for a boolean ``--hot-swap/--no-hot-swap``."""
        dashed = self.name.replace("_", "-")
        return f"--{dashed}/--no-{dashed}" if self.kind == "boolean" else f"--{dashed}"

    @property
    def allowed(self) -> str:
        """What its values may be, as a problem says it."""
        if self.kind == "integer":
            return f"a whole number from {self.minimum} to {self.maximum}"
        if self.kind == "boolean":
            return "true or false"
        if self.kind == "choice":
            return choices(self.choices)
        return "text without spaces, or empty for none" if self.optional else "text without spaces"

    def accepts(self, value: object) -> bool:
        """Whether ``value`` is one of this setting's."""
        if self.kind == "boolean":
            return isinstance(value, bool)
        if self.kind == "integer":
            if not isinstance(value, int) or isinstance(value, bool):
                return False
            return (self.minimum is None or value >= self.minimum) and (self.maximum is None or value <= self.maximum)
        if not isinstance(value, str):
            return False
        if self.kind == "choice":
            return value in self.choices
        return bool(value or self.optional) and not any(map(str.isspace, value))

    def parse(self, text: str) -> object:
        """``text`` of a variable as a value; the text itself where it is none (``accepts`` then says no)."""
        if self.kind == "boolean":
            folded = text.casefold()
            return True if folded in _TRUE else False if folded in _FALSE else text
        if self.kind == "integer":
            try:
                return int(text)
            except ValueError:
                return text
        return text

    def problem(self, value: object, *, file: str, key_path: str) -> Problem:
        nearest = nearest_name(value, self.choices) if isinstance(value, str) else ""
        hint = ""
        if isinstance(value, str) and value.startswith("tcp://"):
            hint = "Kubernetes sets this variable for a service called rolegate: use enableServiceLinks: false"
        return Problem(
            file=file, key_path=key_path, found=found(value), allowed=self.allowed, nearest=nearest, hint=hint
        )


def _declared(one: Any) -> Setting:
    kinds: dict[object, Literal["text", "integer", "boolean", "choice"]] = {
        bool: "boolean",
        int: "integer",
        str: "text",
    }
    return Setting(
        name=one.name,
        kind=kinds.get(one.type, "choice"),
        default=one.default,
        help=one.metadata["help"],
        minimum=one.metadata["minimum"],
        maximum=one.metadata["maximum"],
        choices=tuple(str(choice) for choice in get_args(one.type)),
        optional=one.metadata["optional"],
    )


SETTINGS: Final[Mapping[str, Setting]] = MappingProxyType({one.name: _declared(one) for one in fields(GatewaySettings)})
"""Every server setting by name, in the order of declaration."""


def gateway_settings(values: object) -> GatewaySettings:
    """The settings of a merged, valid ``gateway`` section, defaults where it says nothing."""
    return GatewaySettings(**cast(dict[str, Any], values if isinstance(values, Mapping) else {}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """What stands above all files: variables, then flags, the weakest first."""

    overlays: tuple[Overlay, ...]
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]


def overrides(*, environment: Environment, flags: Mapping[str, object] | None = None) -> Overrides:
    """Read the settings' variables and take the flags (setting name → value, ``None`` where not given).

    Raises ``ValueError`` for a flag that is no setting: that is a mistake of the caller, not of the operator.
    """
    overlays: list[Overlay] = []
    problems: list[Problem] = []
    for setting in SETTINGS.values():
        text = environment.text(setting.variable)
        if text is None:
            continue
        value = setting.parse(text)
        if setting.accepts(value):
            overlays.append(_overlay(setting, value, layer=Layer.ENVIRONMENT, file=setting.variable))
        else:
            problems.append(setting.problem(value, file="environment", key_path=setting.variable))
    for name, value in (flags or {}).items():
        if name not in SETTINGS:
            raise ValueError(f'"{name}" is no setting; the settings are: {listed(SETTINGS)}')
        if value is None:
            continue
        setting = SETTINGS[name]
        flag = setting.flag.partition("/")[0]
        if setting.accepts(value):
            overlays.append(_overlay(setting, value, layer=Layer.COMMAND_LINE, file=flag))
        else:
            problems.append(setting.problem(value, file="command line", key_path=flag))
    return Overrides(overlays=tuple(overlays), problems=tuple(problems), warnings=_unknown_variables(environment))


def _overlay(setting: Setting, value: object, *, layer: Layer, file: str) -> Overlay:
    return Overlay(source=Source(layer=layer, file=file), values={"gateway": {setting.name: value}})


def _unknown_variables(environment: Environment) -> tuple[Problem, ...]:
    known = [*(setting.variable for setting in SETTINGS.values()), *OTHER_VARIABLES]
    return tuple(
        Problem(
            file="environment",
            key_path=name,
            found=f"the unknown variable {quoted(name)}",
            allowed=listed(sorted(known)),
            nearest=nearest_name(name, known),
        )
        for name in environment.own_names()
        if name not in known
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedModel:
    """A model of the embedded engine. ``path`` is ``None`` for one that the engine knows how to pull."""

    name: str
    path: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudModel:
    """A model of a cloud provider, listed there or named by a role. Capabilities are declared ones; prices in US dollars for
    10^6 tokens, ``None`` when the configuration does not say."""

    provider: str
    name: str
    capabilities: ModelCapabilities
    input_usd_per_mtok: float | None = None
    output_usd_per_mtok: float | None = None
    cached_usd_per_mtok: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """A configuration without problems.

    ``declared`` maps references, as written under ``model_profiles``, to declared facts. ``values`` are the merged plain data
    of all layers and ``provenance`` says which layer and file each leaf of them comes from. ``warnings`` hold everything that
    is doubtful; ``inactive_problems`` the part of them that is wrong in profiles that are not active.
    """

    folder: Path
    profile: str | None
    roles: Mapping[str, Role]
    providers: tuple[Provider, ...]
    policy: Policy
    gateway: GatewaySettings
    declared: Mapping[str, ModelCapabilities]
    cloud_models: tuple[CloudModel, ...]
    embedded_models: tuple[EmbeddedModel, ...]
    values: Mapping[str, object]
    provenance: Provenance
    warnings: tuple[Problem, ...] = ()
    inactive_problems: tuple[Problem, ...] = ()
