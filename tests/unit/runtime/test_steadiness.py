"""The machine as plans see it: what swings is held still, and what lasts is news."""

from dataclasses import dataclass, field

from builders import a_machine
from gateway.domain.resources import GB, Resources
from gateway.domain.role import Policy
from gateway.runtime.steadiness import Steadiness, Steady

POLICY = Policy(hot_c=85.0, cool_c=75.0, dwell_s=60.0)


@dataclass
class Seen:
    """A machine of 100 GB, looked at again and again."""

    steadiness: Steadiness = field(default_factory=Steadiness)

    def look(self, now_s: float, *, free_gb: float = 50.0, held_gb: float = 0.0, **changes: object) -> Steady:
        sample = a_machine(available_gb=free_gb, total_gb=100.0, **changes)
        return self.steadiness.steady(sample, held_bytes=round(held_gb * GB), policy=POLICY, now_s=now_s)


def free_gb(steady: Steady) -> float:
    assert steady.resources.memory_available_bytes is not None
    return steady.resources.memory_available_bytes / GB


def test_the_first_sample_is_taken_as_it_is_and_is_no_news() -> None:
    first = Seen().look(0.0, free_gb=12.0, temperature_c=90.0)
    assert (free_gb(first), first.resources.temperature_c, first.news) == (12.0, 90.0, "")


def test_a_small_change_of_memory_is_never_news() -> None:
    seen = Seen()
    for now_s in range(0, 1000, 100):
        steady = seen.look(float(now_s), free_gb=50.0 + (2.4 if now_s % 200 else -2.4))
        assert (free_gb(steady), steady.news) == (47.6, "")


def test_a_large_change_of_memory_has_to_last() -> None:
    seen = Seen()
    seen.look(0.0)
    assert free_gb(seen.look(10.0, free_gb=20.0)) == 50.0
    assert free_gb(seen.look(40.0, free_gb=50.0)) == 50.0
    assert free_gb(seen.look(50.0, free_gb=20.0)) == 50.0
    assert free_gb(seen.look(109.0, free_gb=21.0)) == 50.0
    lasting = seen.look(110.0, free_gb=21.0)
    assert (free_gb(lasting), lasting.news) == (21.0, "memory that models may have went from 50.00 GB to 21.00 GB")
    assert seen.look(111.0, free_gb=21.0).news == ""


def test_memory_that_a_loaded_model_takes_is_still_there_for_models() -> None:
    seen = Seen()
    seen.look(0.0)
    for now_s in (10.0, 100.0, 200.0):
        loaded = seen.look(now_s, free_gb=20.0, held_gb=30.0)
        assert (free_gb(loaded), loaded.news) == (20.0, "")


def test_memory_that_cannot_be_measured_any_more_is_news_once_it_lasts() -> None:
    seen = Seen()
    seen.look(0.0)
    first = seen.steadiness.steady(Resources(), held_bytes=0, policy=POLICY, now_s=10.0)
    assert first.news == ""
    steady = seen.steadiness.steady(Resources(), held_bytes=0, policy=POLICY, now_s=70.0)
    assert steady.news == "memory that models may have went from 50.00 GB to unknown"
    assert steady.resources.memory_available_bytes is None


def test_a_machine_is_too_hot_at_once_and_until_it_was_cool_for_long_enough() -> None:
    seen = Seen()
    assert seen.look(0.0, temperature_c=84.0).news == ""
    hot = seen.look(10.0, temperature_c=85.5)
    assert (hot.resources.temperature_c, hot.news) == (85.5, "the machine is too hot (85.5 °C)")
    for now_s, temperature in ((20.0, 80.0), (30.0, 74.0), (80.0, 76.0), (90.0, 70.0), (149.0, 71.0)):
        still = seen.look(now_s, temperature_c=temperature)
        assert (still.resources.temperature_c, still.news) == (85.0, "")
    cool = seen.look(150.0, temperature_c=71.0)
    assert (cool.resources.temperature_c, cool.news) == (71.0, "the machine has cooled down (71 °C)")


def test_a_sensor_that_is_gone_makes_no_machine_hot() -> None:
    seen = Seen()
    seen.look(0.0, temperature_c=90.0)
    assert seen.look(1.0).resources.temperature_c is None
