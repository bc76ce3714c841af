"""Swaps under load: no request fails, and each is answered by the generation that admitted it."""

import asyncio
import json
import random
import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from swapping_builders import LASTING, PASSING, Answered, Crowd, Site, a_site, mappings


class Operator:
    """Changes something of the site again and again, and waits each time until a newer generation is live: by another profile, by
    an edit of the one that serves, by a model that is deleted."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._dice = random.Random(4)
        self._serving = 0
        self._firsts = [0, 1, 2]
        """What ``mappings`` made each profile from; no two are alike, or a swap would change nothing."""
        self.done: Counter[str] = Counter()

    async def change(self) -> None:
        kind = ("profile", "edit", "deletion")[self.done.total() % 3]
        if kind == "profile":
            self._serving = (self._serving + 1) % len(self._firsts)
            await self._site.swap(f"p{self._serving}")
        elif kind == "edit":
            self._firsts[self._serving] = self._dice.choice(sorted({*range(len(PASSING))} - {*self._firsts}))
            await self._site.swapped_by(self._edit)
        else:
            await self._delete()
        self.done[kind] += 1

    async def work(self, swaps: int, *, within_s: float) -> None:
        """So many changes, spread over that time."""
        clock = asyncio.get_running_loop().time
        begun_s = clock()
        for number in range(swaps):
            await asyncio.sleep(begun_s + number * within_s / swaps - clock())
            await self.change()
        await asyncio.sleep(begun_s + within_s - clock())

    def _edit(self) -> None:
        file = self._site.models_file.parent / "user_profiles" / f"p{self._serving}.json"
        beside = file.with_name(f".{file.name}.new")
        content = {"role_mappings": mappings(self._firsts[self._serving], lasting=LASTING[::-1])}
        beside.write_text(json.dumps(content), encoding="utf-8")
        beside.replace(file)

    async def _delete(self) -> None:
        status = await self._site.status()
        used = sorted({one["model"] for deployments in status["roles"].values() for one in deployments[:2]})
        gone = self._dice.choice([name for one in used if (name := one.removeprefix("ollama:")) in PASSING])
        await self._site.delete(gone)
        await self._site.until_past(status["generation"]["number"])
        self._site.install_all()


def p99_ms(answers: Sequence[Answered]) -> float:
    return statistics.quantiles([one.seconds for one in answers], n=100)[98] * 1000


@pytest.mark.parametrize(
    ("clients", "swaps", "seconds"),
    [(8, 40, 2.0), pytest.param(32, 200, 60.0, marks=pytest.mark.soak)],
    ids=["short", "long"],
)
async def test_no_request_fails_while_many_swaps_go_through(
    tmp_path: Path, clients: int, swaps: int, seconds: float, tell: Callable[[str], None]
) -> None:
    async with a_site(tmp_path) as site:
        warm, quiet, crowd = Crowd(site), Crowd(site), Crowd(site)
        async with warm.asking(streaming=clients, plain=clients):
            await asyncio.sleep(seconds / 20)
        async with quiet.asking(streaming=clients, plain=clients):
            await asyncio.sleep(seconds / 3)
        operator = Operator(site)
        clock = asyncio.get_running_loop().time
        begun_s = clock()
        async with crowd.asking(streaming=clients, plain=clients):
            await operator.work(swaps, within_s=seconds)
        lasted_s = clock() - begun_s
        assert (quiet.troubles, crowd.troubles) == ([], [])
        assert (quiet.mixed, crowd.mixed) == ([], [])
        assert operator.done.total() == swaps
        assert len({one.generation for one in crowd.answers}) > swaps // 2
        status = await site.status()
        assert status["generation"]["number"] > swaps
        assert status["last_error"] == ""
        assert "Traceback" not in site.process.log()
        calm, busy = p99_ms(quiet.answers), p99_ms(crowd.answers)
        tell(
            f"{2 * clients} clients, {len(crowd.answers):,} answers in {lasted_s:.1f} s, none failed, none mixed; "
            f"{swaps} swaps ({', '.join(f'{count} by {kind}' for kind, count in operator.done.items())}), "
            f"{status['generation']['number']} generations; 99th percentile {busy:.0f} ms, without swaps {calm:.0f} ms "
            f"({len(quiet.answers):,} answers): {busy / calm:.2f} times"
        )
