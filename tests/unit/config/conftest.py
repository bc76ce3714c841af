from pathlib import Path

import pytest

from unit.config.sandbox import Sandbox


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    (tmp_path / "config").mkdir()
    return Sandbox(tmp_path)
