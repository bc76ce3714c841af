"""What an operator is told of models that requests pass over."""

from pathlib import Path

from builders import a_cloud, a_model, a_role
from gateway.domain.failure import FailureClass
from gateway.domain.model import ProviderKind
from gateway.domain.plan import Deployment
from gateway.relay.breaker import Breakers, breaker_key
from gateway.runtime.resting import Resting
from gateway.runtime.swap import Switchboard
from live_builders import SteeredSource, a_live_gateway

NOW_S = 1000.0


class Clock:
    def monotonic(self) -> float:
        return NOW_S

    def time(self) -> float:
        return NOW_S


def failed(
    breakers: Breakers, deployment: Deployment, *, failure: FailureClass, retry_after_s: float | None = None
) -> None:
    key = breaker_key(deployment, provider=a_cloud())
    breakers.failed(
        key, failure=failure, now_s=NOW_S, trial=False, retry_after_s=retry_after_s, message=f"{failure} it was"
    )


async def test_models_of_the_plan_that_are_passed_over_are_told_with_the_reason_and_how_long(tmp_path: Path) -> None:
    names = ("openai:fine", "openai:refused", "openai:busy")
    models = [a_model(name, kind=ProviderKind.CLOUD) for name in names]
    planner = a_role(preferred=names, discover=False)
    critic = a_role("critic", preferred=("openai:refused",), discover=False)
    breakers = Breakers()
    source = SteeredSource(*models, provider=a_cloud())
    async with a_live_gateway(tmp_path, planner, critic, sources=[source]) as live:
        resting = Resting(breakers, switchboard=live.switchboard, clock=Clock())
        assert resting.data() == []
        _, refused, busy = live.switchboard.live.roles["planner"].deployments
        failed(breakers, refused, failure=FailureClass.AUTH)
        failed(breakers, busy, failure=FailureClass.OVERLOADED, retry_after_s=12.34)
        assert resting.data() == [
            {
                "model": "openai:busy",
                "state": "held",
                "class": "overloaded",
                "message": "overloaded it was",
                "left_s": 12.3,
            },
            {"model": "openai:refused", "state": "held", "class": "auth", "message": "auth it was", "left_s": None},
        ]
        breakers.forget("openai")
        assert resting.data() == []


def test_before_the_first_plan_nothing_is_passed_over() -> None:
    assert Resting(Breakers(), switchboard=Switchboard(), clock=Clock()).data() == []
