"""Model files for the embedded engine's tests."""

from pathlib import Path

import pytest

from fakes.gguf_files import llama_bytes


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GGUF of half a megabyte that llama.cpp loads in milliseconds; trained context 1,024 tokens."""
    path = tmp_path_factory.mktemp("models") / "tiny.gguf"
    path.write_bytes(llama_bytes())
    return path


@pytest.fixture(scope="session")
def strange_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GGUF whose header is sound, of an architecture llama.cpp does not know."""
    path = tmp_path_factory.mktemp("models") / "strange.gguf"
    path.write_bytes(llama_bytes(architecture="nonesuch"))
    return path
