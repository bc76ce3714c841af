"""What the live gateway says of itself."""

from gateway.domain.generation_record import generation_data
from gateway.domain.report import deployment_data, plan_data
from gateway.runtime.controller import Controller
from gateway.runtime.generation import Generation
from gateway.runtime.pending import pending_data
from gateway.runtime.swap import Switchboard


def live_status(*, controller: Controller, switchboard: Switchboard) -> dict[str, object]:
    """Generation, roles with their order, providers as last seen, what is under way and what is pending, the last swaps and the
    last error."""
    configuration = controller.configuration
    content: dict[str, object] = {
        "ready": switchboard.started,
        "profile": configuration.profile,
        "config_folder": str(configuration.folder),
        "hot_swap": controller.hot_swap,
        "under_way": controller.under_way or None,
        "pending": pending_data(controller.pending),
        "swaps": [generation_data(one) for one in controller.recent],
        "last_error": controller.last_error,
        "providers": controller.providers(),
    }
    if not switchboard.started:
        return {**content, "generation": None, "roles": {}, "degraded": []}
    live = switchboard.live
    return {
        **content,
        "generation": {
            "number": live.number,
            "digest": live.selection.plan.digest,
            "cause": live.cause,
            "created": live.created_s,
            "in_flight": live.in_flight,
        },
        "roles": {name: [deployment_data(one) for one in plan.deployments] for name, plan in live.roles.items()},
        "degraded": list(live.selection.plan.degraded),
    }


def live_plan(generation: Generation, *, profile: str | None) -> dict[str, object]:
    return {"generation": generation.number, **plan_data(generation.selection, profile=profile)}
