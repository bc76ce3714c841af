"""Memory as the container sees it."""

from pathlib import Path

import psutil
import pytest

from gateway.resources import HostProbe, MemoryLimit, memory_limit

GIB = 1 << 30


def write(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text, encoding="ascii")
    return folder


def test_without_a_limit_the_host_counts(tmp_path: Path) -> None:
    sample = HostProbe(cgroup_root=tmp_path).sample()
    assert sample.memory_total_bytes == psutil.virtual_memory().total
    assert sample.source == "host memory"
    assert not sample.memory_assumed


def test_a_limit_of_version_2_counts_without_the_cache_that_can_be_dropped(tmp_path: Path) -> None:
    write(
        tmp_path,
        memory__max=f"{GIB}\n",
        memory__current=f"{GIB // 2}\n",
        memory__stat=f"anon 1\ninactive_file {GIB // 4}\n",
    )
    assert memory_limit(tmp_path) == MemoryLimit(limit_bytes=GIB, used_bytes=GIB // 4)
    sample = HostProbe(cgroup_root=tmp_path).sample()
    assert sample.memory_total_bytes == GIB
    assert sample.memory_available_bytes is not None
    assert sample.memory_available_bytes <= GIB - GIB // 4
    assert sample.source == "container memory limit"


def test_a_limit_of_version_1_counts_too(tmp_path: Path) -> None:
    write(
        tmp_path / "memory",
        memory__limit_in_bytes=str(GIB),
        memory__usage_in_bytes=str(GIB // 2),
        memory__stat=f"total_inactive_file {GIB // 4}\n",
    )
    assert memory_limit(tmp_path) == MemoryLimit(limit_bytes=GIB, used_bytes=GIB // 4)


@pytest.mark.parametrize("limit", ["max", "9223372036854771712", "", "-1", "much"])
def test_no_limit_is_no_limit_however_it_is_written(tmp_path: Path, limit: str) -> None:
    write(tmp_path, memory__max=limit, memory__current="1")
    assert memory_limit(tmp_path) is None


def test_a_limit_above_the_host_is_no_limit(tmp_path: Path) -> None:
    write(tmp_path, memory__max=str(psutil.virtual_memory().total * 2), memory__current="0")
    assert HostProbe(cgroup_root=tmp_path).sample().source == "host memory"
