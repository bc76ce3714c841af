"""Which core does what: the gateway under test has one to itself, upstream and clients share another."""

import os
import sys
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Cores:
    """``None`` is no core in particular. ``note`` says why, where the two are not apart."""

    gateway: int | None
    others: int | None
    note: str = ""

    @classmethod
    def of_this_machine(cls) -> "Cores":
        if sys.platform != "linux":
            return cls(gateway=None, others=None, note="this system does not pin processes to cores")
        allowed = sorted(os.sched_getaffinity(0))
        if len(allowed) < 2:
            note = "there is one core only: upstream and clients take their share of what is measured"
            return cls(gateway=allowed[0], others=allowed[0], note=note)
        return cls(gateway=allowed[-1], others=allowed[0])


def pin(pid: int, core: int | None) -> None:
    """Keep a process that has just been started on one core, with every thread that it starts from now on."""
    if core is not None and sys.platform == "linux":
        os.sched_setaffinity(pid, {core})
