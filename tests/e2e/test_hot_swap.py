"""Swaps under load: no request fails, and each is answered by the generation that admitted it."""

import random
from pathlib import Path

import pytest

from swapping_builders import PASSING, Crowd, Site, a_site


async def change(site: Site, number: int, *, dice: random.Random) -> None:
    """One swap, by an edit, another profile or a deleted model in turn."""
    kind = number % 4
    if kind == 3:
        before = await site.number()
        roles = (await site.status())["roles"]
        used = sorted({one["model"] for deployments in roles.values() for one in deployments[:2]})
        gone = dice.choice([one for one in used if one.removeprefix("ollama:") in PASSING])
        await site.delete(gone.removeprefix("ollama:"))
        await site.until(lambda status: status["generation"]["number"] > before)
        site.install_all()
    elif kind == 1:
        await site.swapped_by(lambda: site.use(f"p{number // 4 % 3}"))
    else:
        profile = (await site.status())["profile"]
        if profile is not None:
            await site.swapped_by((site.state_folder / "active_profile").unlink)
        await site.swapped_by(lambda: site.edit(number // 2 + 1))


@pytest.mark.parametrize(
    ("clients", "swaps"), [(8, 40), pytest.param(32, 200, marks=pytest.mark.soak)], ids=["short", "long"]
)
async def test_no_request_fails_while_many_swaps_go_through(tmp_path: Path, clients: int, swaps: int) -> None:
    dice = random.Random(4)
    async with a_site(tmp_path) as site:
        crowd = Crowd(site)
        async with crowd.asking(streaming=clients, plain=clients):
            number = 0
            while await site.number() <= swaps:
                await change(site, number, dice=dice)
                number += 1
        assert crowd.troubles == []
        assert crowd.mixed == []
        assert len({one.generation for one in crowd.answers}) > swaps // 2
        status = await site.status()
        assert status["generation"]["number"] > swaps
        assert status["last_error"] == ""
        assert "Traceback" not in site.process.log()
