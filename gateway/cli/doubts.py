"""What is doubtful about an edit or a choice that was made all the same."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from gateway.cli.command import Call
from gateway.cli.taking_up import gateway_found
from gateway.errors import Problem, RolegateError

if TYPE_CHECKING:
    from gateway.compose import Survey, Workspace


_DEMANDED: Final = frozenset({"not_chat_capable", "requirement_not_met", "context_too_small", "over_memory_limit"})
"""Verdicts that follow from the settings; whether there is room for a model just now is another matter."""
_UNKNOWN: Final = "provider_down"
"""What a provider has that does not answer, nobody can say."""


def doubts_of(warnings: Iterable[Problem], *, call: Call, workspace: "Workspace") -> list[Problem]:
    """``warnings``, without those that a running gateway proves wrong: a flag may have turned hot-swap on for it."""
    from gateway.config.unenforced import NEEDS_HOT_SWAP

    doubts = list(warnings)
    others = [one for one in doubts if one.hint != NEEDS_HOT_SWAP]
    if len(others) == len(doubts):
        return doubts
    try:
        found = gateway_found(call, workspace)
    except RolegateError:
        return doubts
    return others if found is not None and found.status.get("hot_swap") else doubts


def warn_of_models(call: Call, profile: str | None) -> None:
    """Say what ``profile`` takes from roles on this machine as it is now: which would have no model under it, and which of the
    models that somebody named for them would not serve. What is so without it, and where it says nothing, is no news."""
    if profile is None:
        return
    from gateway.compose.comparing import surveys, validation_data

    try:
        under, without = call.run(surveys([call.workspace(profile=profile), call.workspace(profile="")]))
    except RolegateError:
        return  # whoever asks for more than the files say is told by `validate`
    own = _spoken_of(under, without=without)
    known = {(one["role"], one["model"]) for one in _ruled_out(validation_data("", without)) if one["role"] not in own}
    call.console.warn(
        [
            f"no model can serve {role} (`rolegate explain {role} --profile {profile}` says why)"
            for role in under.selection.plan.degraded
            if (role in own or role not in without.selection.plan.degraded) and _is_judged(under, role)
        ]
        + [
            f"{one['role']} is not served by {one['model']}, which is named for it: {one['verdict']}"
            for one in _ruled_out(validation_data(profile, under))
            if (one["role"], one["model"]) not in known
        ]
    )


def _ruled_out(told: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [one for one in told["ruled_out"] if one["verdict"] in _DEMANDED]


def _is_judged(survey: "Survey", role: str) -> bool:
    return not any(one.verdict.value == _UNKNOWN for one in survey.selection.trace(role).entries)


def _spoken_of(under: "Survey", *, without: "Survey") -> frozenset[str]:
    """The roles whose settings are others under a profile."""
    settings, before = (_settings(one) for one in (under, without))
    return frozenset(role for role, entry in settings.items() if entry != before.get(role))


def _settings(survey: "Survey") -> Mapping[str, object]:
    section = survey.configuration.values.get("role_mappings")
    return section if isinstance(section, Mapping) else {}
