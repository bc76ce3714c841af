import os
from pathlib import Path

import pytest

from fakes.gguf_files import gguf_bytes, llama_bytes
from gateway.embedded.files import KnownModel, known_path
from gateway.embedded.shelf import Shelf
from gateway.errors import ModelUnavailable

ROW = KnownModel(
    name="small:1m",
    project="small-model",
    version="1.0",
    wheel_sha256="0" * 64,
    wheel_bytes=1,
    member="small_model/small.gguf",
    sha256="0" * 64,
    size_bytes=len(llama_bytes()),
    license="Apache-2.0",
)


def shelf(folder: Path, **models: Path | None) -> Shelf:
    return Shelf(provider="embedded", models=models, data_folder=folder, table=(ROW,))


def test_files_come_in_the_order_of_the_configuration_present_or_not(tmp_path: Path, tiny_llama: Path) -> None:
    files = shelf(tmp_path, zebra=tmp_path / "none.gguf", ant=tiny_llama).files()
    assert [file.name for file in files] == ["zebra", "ant"]
    assert files[0].problem == f"the file {tmp_path / 'none.gguf'} does not exist"
    assert files[0].metadata == {}
    assert files[1].problem == ""
    assert files[1].metadata["general.architecture"] == "llama"
    assert files[1].tensors[0] == ("token_embd.weight", "F32", (64, 286))
    assert files[1].size_bytes == tiny_llama.stat().st_size
    assert files[1].digest.startswith("gguf:")
    assert not any(file.pullable for file in files)


def test_a_known_model_lies_in_the_data_folder_and_can_be_pulled(tmp_path: Path) -> None:
    known = Shelf(provider="embedded", models={"small:1m": None}, data_folder=tmp_path, table=(ROW,))
    (file,) = known.files()
    assert file.path == str(tmp_path / "models" / "small.gguf")
    assert file.pullable
    assert file.problem == f"the file {file.path} does not exist"
    path = known_path(ROW, data_folder=tmp_path)
    path.parent.mkdir()
    path.write_bytes(llama_bytes())
    assert known.usable("small:1m").problem == ""
    path.write_bytes(b"GGUF")
    assert known.file("small:1m").problem == f"the file {path} has 4 bytes instead of {ROW.size_bytes}"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"hello", "the file {path} is not a GGUF file: it starts with b'hell' instead of \"GGUF\""),
        (
            llama_bytes()[:300],
            "the file {path} ends inside its header, at byte 300; it was probably not copied in full",
        ),
        (
            gguf_bytes(metadata={"split.count": 3}),
            "the file {path} is one of the 3 parts of a split model; join them with `llama-gguf-split --merge`",
        ),
    ],
    ids=["no GGUF", "cut", "split"],
)
def test_a_file_that_cannot_be_used_says_why_and_where_it_is_named(
    content: bytes, problem: str, tmp_path: Path
) -> None:
    path = tmp_path / "own.gguf"
    path.write_bytes(content)
    with pytest.raises(ModelUnavailable) as caught:
        shelf(tmp_path, own=path).usable("own")
    assert caught.value.message == f'the embedded model "own" cannot be used: {problem.format(path=path)}'
    assert caught.value.hint == 'mend the file, or the path of "own" in local_providers.embedded.models'


def test_a_name_without_a_path_that_nobody_knows_asks_for_a_path(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable) as caught:
        shelf(tmp_path, other=None).usable("other")
    assert caught.value.message == (
        'the embedded model "other" cannot be used: the engine does not know where to fetch "other"; it knows: small:1m'
    )
    assert caught.value.hint == (
        'give its file in local_providers.embedded.models: {name: "other", path: "/path/to/file.gguf"}'
    )


def test_a_folder_in_place_of_a_file_is_a_problem(tmp_path: Path) -> None:
    assert shelf(tmp_path, own=tmp_path).file("own").problem == f"{tmp_path} is not a file"


def test_a_header_is_read_again_only_when_the_file_changed(tmp_path: Path) -> None:
    path = tmp_path / "own.gguf"
    path.write_bytes(llama_bytes(context_tokens=512))
    looking = shelf(tmp_path, own=path)
    before = looking.file("own")
    assert looking.file("own").metadata is before.metadata
    path.write_bytes(llama_bytes(context_tokens=256))
    os.utime(path, ns=(1, 1))
    assert looking.file("own").metadata["llama.context_length"] == 256
