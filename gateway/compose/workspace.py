"""What every command starts from: folders, configuration, and one look at the world."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from gateway.compose.keys import ProviderKeys
from gateway.compose.parts import Parts, SystemClock
from gateway.config.environ import Environment
from gateway.config.folders import config_folder, templates_folder
from gateway.config.load import load
from gateway.config.profiles import names, use
from gateway.config.settings import Configuration
from gateway.domain.model import ProviderKind, parse_reference
from gateway.domain.nearest import nearest_name
from gateway.domain.plan import Plan
from gateway.domain.ports import Discovery
from gateway.domain.resources import GB, Resources
from gateway.domain.role import Role
from gateway.domain.secret import Secret
from gateway.domain.selection import Selection, select
from gateway.embedded.files import KNOWN_MODELS, known_model
from gateway.embedded.pull import Progress, pull
from gateway.errors import RolegateError, UnknownName
from gateway.rendering.render import render
from gateway.rendering.templates import Templates
from gateway.resources import HostProbe
from gateway.runtime.clashes import check_names


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a command line says above all files. ``memory_gb`` and ``vram_gb`` stand in for measured memory; ``settings`` are
    server settings by name; ``url`` is where the running gateway is to be found; ``passphrase`` is the vault's, where somebody
    was asked for it."""

    config_dir: Path | None = None
    profile: str | None = None
    memory_gb: float | None = None
    vram_gb: float | None = None
    settings: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    url: str | None = None
    passphrase: Secret | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """One look at the world, and what would be decided."""

    configuration: Configuration
    discovery: Discovery
    resources: Resources
    selection: Selection
    warnings: tuple[str, ...] = ()


class Workspace:
    """The folders of one installation and the configuration in them."""

    def __init__(self, *, options: Options, environment: Environment) -> None:
        self.options = options
        self.environment = environment
        self.config_folder = config_folder(flag=options.config_dir, environment=environment)
        self.templates_folder = templates_folder(config_folder=self.config_folder, environment=environment)
        self.state_folder = environment.state_dir
        self.data_folder = environment.data_dir
        self.keys = ProviderKeys(
            environment=environment,
            config_folder=self.config_folder,
            state_folder=self.state_folder,
            passphrase=options.passphrase,
        )
        self._configuration: Configuration | None = None
        self._chosen_live = False

    @classmethod
    def open(cls, options: Options) -> "Workspace":
        """Find the folders. Raises ``ConfigInvalid`` when one that was named does not exist."""
        return cls(options=options, environment=Environment.read())

    def configuration(self) -> Configuration:
        """The merged configuration, read once. Raises ``ConfigInvalid`` with every problem."""
        if self._configuration is None:
            self.keys.look()
            self._configuration = self._with_keys(
                load(
                    folder=self.config_folder,
                    state_folder=self.state_folder,
                    environment=self.environment,
                    profile=self.options.profile,
                    flags=self.options.settings,
                )
            )
        return self._configuration

    def read_again(self, profile: str | None) -> Configuration:
        """The configuration as it is on disk now, with ``profile`` active: empty for none, ``None`` for the one that is chosen.
        The vault's keys count from here on as they are now, whatever becomes of the rest. Raises ``ConfigInvalid``,
        ``UnknownName`` for a profile that does not exist, and what ``ProviderKeys.require`` does."""
        self.keys.read()
        environment, flag = self.environment, self.options.profile
        if self._chosen_live:
            left = {key: value for key, value in environment.variables.items() if key != "ROLEGATE_PROFILE"}
            environment, flag = Environment(variables=left), None
        if profile:
            known = names(folder=self.config_folder)
            if profile not in known:
                nearest = nearest_name(profile, known)
                raise UnknownName(kind="profile", name=profile, known=known, nearest=nearest)
        configuration = load(
            folder=self.config_folder,
            state_folder=self.state_folder,
            environment=environment,
            profile=flag if profile is None else profile,
            flags=self.options.settings,
        )
        self.keys.require(configuration.providers)
        return self._with_keys(configuration)

    def _with_keys(self, configuration: Configuration) -> Configuration:
        return replace(configuration, providers=self.keys.known_to(configuration.providers))

    def choose(self, profile: str | None) -> None:
        """Make ``profile`` the active one on disk. From then on this process goes by what is there; the flag and the variable
        that it was started with count again when it starts anew. Raises ``RolegateError``."""
        try:
            use(profile, folder=self.config_folder, state_folder=self.state_folder)
        except OSError as exc:
            raise RolegateError(
                f"{self.state_folder}: the active profile cannot be written: {exc.strerror or exc}",
                hint="let the gateway write to its state folder; nothing was changed",
            ) from exc
        self._chosen_live = True

    def parts(self) -> Parts:
        """Registry, engine and keys for this configuration; the caller closes them."""
        return Parts(
            configuration=self.configuration(),
            keys=self.opened_keys(),
            state_folder=self.state_folder,
            data_folder=self.data_folder,
            clock=SystemClock(),
        )

    def opened_keys(self) -> ProviderKeys:
        """The keys, those in the vault too where a provider is asked with one of them what it has. Blocks."""
        self.keys.open_for(one for one in self.configuration().providers if not one.cloud)
        return self.keys

    def resources(self) -> Resources:
        """This machine now, or as the options have it."""
        measured = HostProbe().sample()
        if self.options.memory_gb is not None:
            measured = replace(
                measured,
                memory_available_bytes=round(self.options.memory_gb * GB),
                memory_assumed=True,
                source="--memory-gb",
            )
        if self.options.vram_gb is not None:
            measured = replace(measured, vram_available_bytes=round(self.options.vram_gb * GB), vram_assumed=True)
        return measured

    async def survey(self) -> Survey:
        """Discover, sample, select: what a gateway started now would do."""
        parts = await asyncio.to_thread(self.parts)
        try:
            discovery = await parts.registry.refresh()
        finally:
            await parts.close()
        configuration = self.configuration()
        check_names(configuration, discovery)
        resources = self.resources()
        selection = select(
            roles=configuration.roles, discovery=discovery, resources=resources, policy=configuration.policy
        )
        return Survey(
            configuration=configuration,
            discovery=discovery,
            resources=resources,
            selection=selection,
            warnings=(*self.keys.warnings, *(warning for state in discovery.providers for warning in state.warnings)),
        )

    def reselect(self, survey: Survey, *, role: Role) -> Survey:
        """The same world with one role changed."""
        roles = {**survey.configuration.roles, role.name: role}
        selection = select(
            roles=roles,
            discovery=survey.discovery,
            resources=survey.resources,
            policy=survey.configuration.policy,
        )
        return replace(survey, selection=selection)

    def render(self, survey: Survey) -> dict[str, object]:
        """The LiteLLM router configuration of the plan. Raises ``TemplateInvalid``."""
        return self.render_plan(survey.selection.plan, survey.discovery)

    def render_plan(self, plan: Plan, discovery: Discovery) -> dict[str, object]:
        return render(
            plan=plan,
            providers={state.provider.name: state.provider for state in discovery.providers},
            templates=Templates.load(self.templates_folder),
            gateway_url=self.url,
        )

    @property
    def url(self) -> str:
        """Where a client on this machine reaches the gateway, without a path."""
        settings = self.configuration().gateway
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.host, settings.host)
        if ":" in host and not host.startswith("["):
            host = f"[{host}]"
        return f"{'https' if settings.tls_cert else 'http'}://{host}:{settings.port}"

    def pull(self, reference: str, *, progress: Progress) -> Path:
        """Fetch a model that the embedded engine knows, by reference or bare name. Raises ``UnknownName`` for any other."""
        engines = [one.name for one in self.configuration().providers if one.kind is ProviderKind.EMBEDDED]
        engine = engines[0] if engines else "embedded"
        named = parse_reference(reference, providers={engine})
        if known_model(named.name) is None:
            known = [f"{engine}:{one.name}" for one in KNOWN_MODELS]
            nearest = nearest_name(reference, known)
            raise UnknownName(kind="model to pull", name=reference, known=known, nearest=nearest)
        return pull(named.name, data_folder=self.data_folder, progress=progress, provider=engine)
