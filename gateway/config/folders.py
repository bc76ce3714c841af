"""Which folders are used: the configuration's, and the router templates'."""

from pathlib import Path
from typing import Final

from gateway.config.environ import Environment
from gateway.config.layers import holds_configuration
from gateway.config.wording import quoted
from gateway.errors import Problem
from gateway.file_errors import ConfigInvalid

TEMPLATES: Final = "router_templates"
SHIPPED: Final = "_shipped"
"""The folder inside the package that holds the packaged ones."""

_PACKAGE: Final = Path(__file__).resolve().parents[1]


def config_folder(*, flag: Path | None, environment: Environment, working_folder: Path = Path()) -> Path:
    """The configuration folder: flag ▸ ``ROLEGATE_CONFIG_DIR`` ▸ ``./config`` ▸ the user's ▸ the packaged one.

    The first two must exist. ``./config`` and the user's count only if they hold a file of one of the layers or profiles, so
    that another program's ``config`` folder is not taken for ours. Raises ``ConfigInvalid``.
    """
    for file, key, folder in (
        ("command line", "--config-dir", flag),
        ("environment", "ROLEGATE_CONFIG_DIR", environment.config_dir),
    ):
        if folder is not None:
            if not folder.is_dir():
                raise ConfigInvalid([_no_folder(file, key, folder)])
            return folder
    for folder in (working_folder / "config", environment.user_config_dir):
        if holds_configuration(folder):
            return folder
    return packaged("config")


def templates_folder(
    *, config_folder: Path, environment: Environment, flag: Path | None = None, working_folder: Path = Path()
) -> Path:
    """The folder of router templates: flag ▸ beside the layers in the configuration folder ▸ ``./router_templates`` ▸ the
    user's ▸ the packaged one. Raises ``ConfigInvalid`` when the flag names no folder."""
    if flag is not None:
        if not flag.is_dir():
            raise ConfigInvalid([_no_folder("command line", "--templates-dir", flag)])
        return flag
    for folder in (config_folder / TEMPLATES, working_folder / TEMPLATES, environment.user_config_dir / TEMPLATES):
        if folder.is_dir():
            return folder
    return packaged(TEMPLATES)


def packaged(name: str) -> Path:
    """``name`` as shipped: inside the package, or at the top of a source checkout."""
    shipped = _PACKAGE / SHIPPED / name
    return shipped if shipped.is_dir() else _PACKAGE.parent / name


def _no_folder(file: str, key: str, folder: Path) -> Problem:
    shown = quoted(str(folder), whole=True)
    return Problem(file=file, key_path=key, found=f"{shown}, which is not a folder", allowed="an existing folder")
