"""What is done to the models of the embedded engine: real files, real children."""

import hashlib
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from builders import a_model, a_provider
from fakes.gguf_files import llama_bytes
from gateway.domain.model import ProviderKind
from gateway.embedded.engine import Engine
from gateway.embedded.files import KnownModel, known_path
from gateway.errors import BadRequest, EngineUnavailable, ModelUnavailable, Unsupported
from gateway.registry.embedded_keeping import EmbeddedKeeper

CONTENT = llama_bytes()
PULLED = KnownModel(
    name="pulled:tiny",
    project="tiny",
    version="1",
    wheel_sha256="0",
    wheel_bytes=1,
    member="tiny/pulled.gguf",
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    size_bytes=len(CONTENT),
    license="MIT",
)
PROVIDER = a_provider("embedded", kind=ProviderKind.EMBEDDED, url=None)
TINY = a_model("embedded:tiny", kind=ProviderKind.EMBEDDED, context=1024)


def files_in(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir())


def put_a_folder_in_place_of(file: Path) -> None:
    file.unlink()
    file.mkdir()


@pytest.fixture
def own_file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def pulled_file(tmp_path: Path) -> Path:
    path = known_path(PULLED, data_folder=tmp_path)
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
async def engine(tmp_path: Path, own_file: Path, pulled_file: Path) -> AsyncIterator[Engine]:
    models = {"tiny": own_file, "pulled:tiny": None}
    async with Engine(models=models, data_folder=tmp_path, clock=time, table=[PULLED]) as running:
        yield running


@pytest.fixture
def keeper(engine: Engine) -> EmbeddedKeeper:
    return EmbeddedKeeper(provider=PROVIDER, engine=engine, shelf=engine)


@pytest.mark.skipif(sys.platform == "win32", reason="starts processes the POSIX way")
async def test_a_load_starts_a_child_and_an_unload_ends_it(engine: Engine, keeper: EmbeddedKeeper) -> None:
    pytest.importorskip("xllamacpp")
    report = await keeper.load(TINY, context_tokens=512, keep_alive=None, within_s=60.0)
    assert (report.already, report.context_tokens) == (False, 512)
    assert report.held is not None
    assert (report.held.name, report.held.residency.context_tokens, report.held.expires) == ("tiny", 512, None)
    assert report.held.residency.size_bytes > 0
    assert engine.running() == {"tiny"}
    assert (await keeper.load(TINY, context_tokens=256, keep_alive=None, within_s=60.0)).already is True
    gone = await keeper.unload(TINY, within_s=60.0)
    assert (gone.was_loaded, gone.gone) == (True, True)
    assert await keeper.held() == ()
    assert (await keeper.unload(TINY, within_s=60.0)).was_loaded is False


async def test_an_unload_that_takes_longer_is_not_waited_for(engine: Engine, keeper: EmbeddedKeeper) -> None:
    pytest.importorskip("xllamacpp")
    await keeper.load(TINY, context_tokens=512, keep_alive=None, within_s=60.0)
    report = await keeper.unload(TINY, within_s=0.0)
    assert (report.was_loaded, report.gone) == (True, False)


async def test_a_load_that_takes_too_long_is_said(keeper: EmbeddedKeeper) -> None:
    with pytest.raises(EngineUnavailable) as caught:
        await keeper.load(TINY, context_tokens=512, keep_alive=None, within_s=0.0)
    assert str(caught.value) == "embedded:tiny was not loaded within 0 s"


async def test_the_engine_has_no_keep_alive(keeper: EmbeddedKeeper) -> None:
    with pytest.raises(Unsupported) as caught:
        await keeper.load(TINY, context_tokens=512, keep_alive="30m", within_s=1.0)
    assert str(caught.value) == "embedded:tiny stays loaded until it is unloaded: the embedded engine has no keep_alive"


async def test_a_pulled_file_is_removed(keeper: EmbeddedKeeper, pulled_file: Path, own_file: Path) -> None:
    await keeper.remove(a_model("embedded:pulled:tiny", kind=ProviderKind.EMBEDDED))
    assert files_in(pulled_file.parent) == []
    assert files_in(own_file.parent) == ["models", "tiny.gguf"]


async def test_a_file_configured_by_path_is_never_removed(keeper: EmbeddedKeeper, own_file: Path) -> None:
    with pytest.raises(BadRequest) as caught:
        await keeper.remove(TINY)
    assert str(caught.value) == (
        f"embedded:tiny is the file {own_file} that the configuration names: it was not pulled, so it is not removed"
    )
    assert caught.value.hint == "take it out of local_providers.embedded.models, then delete the file yourself"
    assert "tiny.gguf" in files_in(own_file.parent)


async def test_a_model_that_the_engine_does_not_have_is_not_removed(keeper: EmbeddedKeeper) -> None:
    with pytest.raises(ModelUnavailable, match="the embedded engine has no gone"):
        await keeper.remove(a_model("embedded:gone", kind=ProviderKind.EMBEDDED))


async def test_a_file_that_cannot_be_deleted_is_said_with_the_reason(keeper: EmbeddedKeeper, pulled_file: Path) -> None:
    put_a_folder_in_place_of(pulled_file)
    with pytest.raises(ModelUnavailable, match=f"the file {pulled_file} cannot be deleted: "):
        await keeper.remove(a_model("embedded:pulled:tiny", kind=ProviderKind.EMBEDDED))
