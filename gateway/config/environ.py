"""The environment: the only reader of environment variables, and the folders that follow from them."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from gateway.domain.secret import Secret

PREFIX: Final = "ROLEGATE_"

OTHER_VARIABLES: Final[Mapping[str, str]] = {
    "ROLEGATE_CONFIG_DIR": "the configuration folder",
    "ROLEGATE_STATE_DIR": "the state folder, instead of $XDG_STATE_HOME/rolegate",
    "ROLEGATE_DATA_DIR": "the folder of pulled models, instead of $XDG_DATA_HOME/rolegate",
    "ROLEGATE_PROFILE": "the active profile, over the one that was persisted",
    "ROLEGATE_VAULT_PASSPHRASE": "unlocks the vault",
    "ROLEGATE_CLIENT_KEY": "the first client key of a container",
    "ROLEGATE_CLIENT_KEY_FILE": "a file with the first client key of a container",
    "ROLEGATE_ADMIN_KEY": "the first admin key of a container",
    "ROLEGATE_ADMIN_KEY_FILE": "a file with the first admin key of a container",
}
"""Variables beside the settings' own, with what each is for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """A snapshot of the variables. An empty variable counts as unset. Never printed: it holds keys."""

    variables: Mapping[str, str] = field(repr=False)

    @classmethod
    def read(cls) -> "Environment":
        """The variables of this process, now."""
        return cls(variables=dict(os.environ))

    def text(self, name: str) -> str | None:
        """The value of one variable, without surrounding space; ``None`` when unset or empty."""
        return self.variables.get(name, "").strip() or None

    @property
    def home(self) -> Path:
        home = self.text("HOME")
        return Path(home) if home is not None else Path.home()

    @property
    def config_dir(self) -> Path | None:
        """``ROLEGATE_CONFIG_DIR``, if set."""
        return self._folder("ROLEGATE_CONFIG_DIR")

    @property
    def user_config_dir(self) -> Path:
        """``$XDG_CONFIG_HOME/rolegate``; ``~/.config/rolegate`` by default."""
        return self._xdg("XDG_CONFIG_HOME", ".config")

    @property
    def state_dir(self) -> Path:
        """``ROLEGATE_STATE_DIR``, else ``$XDG_STATE_HOME/rolegate``; ``~/.local/state/rolegate`` by default."""
        return self._folder("ROLEGATE_STATE_DIR") or self._xdg("XDG_STATE_HOME", ".local/state")

    @property
    def data_dir(self) -> Path:
        """``ROLEGATE_DATA_DIR``, else ``$XDG_DATA_HOME/rolegate``; ``~/.local/share/rolegate`` by default."""
        return self._folder("ROLEGATE_DATA_DIR") or self._xdg("XDG_DATA_HOME", ".local/share")

    @property
    def profile(self) -> str | None:
        """``ROLEGATE_PROFILE``, if set."""
        return self.text("ROLEGATE_PROFILE")

    def provider_key(self, name: str) -> Secret | None:
        """The key of the provider ``name`` from its ``<PROVIDER>_API_KEY`` variable, if set."""
        text = self.text(key_variable(name))
        return None if text is None else Secret(text)

    def own_names(self) -> tuple[str, ...]:
        """The names of all variables that are set and begin with ``ROLEGATE_``, sorted."""
        return tuple(sorted(name for name in self.variables if name.startswith(PREFIX) and self.text(name) is not None))

    def _folder(self, name: str) -> Path | None:
        text = self.text(name)
        if text is None:
            return None
        return self.home / text[2:] if text.startswith("~/") else Path(text)

    def _xdg(self, variable: str, default: str) -> Path:
        base = self._folder(variable)
        # The XDG specification has relative paths ignored.
        return (base if base is not None and base.is_absolute() else self.home / default) / "rolegate"


def key_variable(provider: str) -> str:
    """The variable that holds a provider's key: ``openai`` → ``OPENAI_API_KEY``, ``my-lab`` → ``MY_LAB_API_KEY``."""
    return provider.upper().replace("-", "_") + "_API_KEY"
