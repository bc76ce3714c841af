"""Times and durations as people read them."""

import time


def duration(ms: float | None) -> str:
    if ms is None:
        return "-"
    if ms < 999.5:
        return f"{ms:.0f} ms"
    return f"{ms / 1000:.1f} s" if ms < 99_950 else f"{ms / 1000:,.0f} s"


def when(time_s: float) -> str:
    """On this machine's clock: the second of today, the minute of another day."""
    today = clock(time.time(), form="%Y-%m-%d")
    return clock(time_s, form="%H:%M:%S" if clock(time_s, form="%Y-%m-%d") == today else "%m-%d %H:%M")


def clock(time_s: float, *, form: str) -> str:
    """``-`` for a time that no calendar has."""
    try:
        return time.strftime(form, time.localtime(time_s))
    except (OverflowError, ValueError, OSError):
        return "-"
