"""What this machine can hold now: memory as the container sees it, and temperature where the platform tells."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from gateway.domain.resources import Resources

_CGROUP_ROOT: Final = Path("/sys/fs/cgroup")
_UNLIMITED_FROM_BYTES: Final = 1 << 60
"""cgroup v1 writes "no limit" as the largest page-aligned number; v2 writes the word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryLimit:
    """A control group's limit and what it uses of it, in bytes; page cache that can be dropped at once is not counted."""

    limit_bytes: int
    used_bytes: int


class HostProbe:
    """Samples the host. Swap is never counted: a model in swap is as good as down."""

    def __init__(self, *, cgroup_root: Path = _CGROUP_ROOT) -> None:
        self._cgroup_root = cgroup_root

    def sample(self) -> Resources:
        """Read the machine now; takes well under a millisecond."""
        memory = psutil.virtual_memory()
        total, available, source = memory.total, memory.available, "host memory"
        limit = memory_limit(self._cgroup_root)
        if limit is not None and limit.limit_bytes < total:
            total = limit.limit_bytes
            available = min(available, max(limit.limit_bytes - limit.used_bytes, 0))
            source = "container memory limit"
        return Resources(
            memory_total_bytes=total,
            memory_available_bytes=available,
            temperature_c=_hottest_c(),
            source=source,
        )


def memory_limit(root: Path) -> MemoryLimit | None:
    """The tightest memory limit of the control group at ``root``, v2 or v1; ``None`` when there is none."""
    unified = _read_limit(root / "memory.max", root / "memory.current", root / "memory.stat", cache_key="inactive_file")
    if unified is not None:
        return unified
    old = root / "memory"
    return _read_limit(
        old / "memory.limit_in_bytes",
        old / "memory.usage_in_bytes",
        old / "memory.stat",
        cache_key="total_inactive_file",
    )


def _read_limit(limit_file: Path, usage_file: Path, stat_file: Path, *, cache_key: str) -> MemoryLimit | None:
    limit, usage = _read_number(limit_file), _read_number(usage_file)
    if limit is None or usage is None or limit >= _UNLIMITED_FROM_BYTES:
        return None
    return MemoryLimit(limit_bytes=limit, used_bytes=max(usage - _read_stat(stat_file, cache_key), 0))


def _read_number(path: Path) -> int | None:
    try:
        text = path.read_text(encoding="ascii").strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def _read_stat(path: Path, key: str) -> int:
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    for line in lines:
        name, _, value = line.partition(" ")
        if name == key and value.isdigit():
            return int(value)
    return 0


def _hottest_c() -> float | None:
    """The hottest sensor, in °C; ``None`` where the platform has none (psutil then lacks the function altogether)."""
    read = getattr(psutil, "sensors_temperatures", None)
    if read is None:
        return None
    readings = [entry.current for entries in read().values() for entry in entries if entry.current]
    return max(readings, default=None)
