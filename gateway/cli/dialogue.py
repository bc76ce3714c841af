"""The dialogue that makes a profile, role by role."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gateway.cli.asked import ask, ask_yes
from gateway.cli.command import Call
from gateway.cli.yaml_text import as_yaml
from gateway.domain.nearest import nearest_name
from gateway.errors import BadRequest

if TYPE_CHECKING:
    from gateway.compose import Survey, Workspace
    from gateway.domain.role import Role

_NONE = "-"


def profile_from_answers(call: Call, *, workspace: "Workspace", described: bool) -> dict[str, object]:
    """The settings that the answers ask for, without what is left as it is. ``described``: nobody need be asked what
    the profile is for. Raises ``BadRequest`` where nothing may be asked or the last question is answered with no."""
    if call.console.json:
        raise BadRequest("a dialogue and --json do not go together", hint="leave one of them out")
    with _nothing_written_when_broken_off(call):
        return _answers(call, survey=call.survey(workspace), described=described)


def _answers(call: Call, *, survey: "Survey", described: bool) -> dict[str, object]:
    values: dict[str, object] = {}
    if not described and (description := ask("what is the profile for, in a line? ")):
        values["description"] = description
    call.console.talk("for every role: an empty answer leaves it as it is, - is for none")
    roles: dict[str, object] = {}
    for role in survey.configuration.roles.values():
        call.console.talk("", f"{role.name}: answered by {_answered_by(role.name, survey=survey)}")
        asked = _role(call, role, survey=survey)
        if asked:
            roles[role.name] = asked
    if roles:
        values["role_mappings"] = roles
    call.console.talk("", *as_yaml(values).split("\n"))
    if not ask_yes("write it so?", usually=True):
        raise BadRequest("nothing was written")
    return values


@contextmanager
def _nothing_written_when_broken_off(call: Call) -> Iterator[None]:
    """Ctrl-C in the middle of the questions is an answer, too."""
    try:
        yield
    except KeyboardInterrupt:
        call.console.talk("", "nothing was written")
        raise


def _role(call: Call, role: "Role", *, survey: "Survey") -> dict[str, object]:
    asked: dict[str, object] = {}
    preferred = _models(call, "models, in order", now=role.preferred, survey=survey)
    if preferred is not None:
        asked["preferred"] = preferred
    discover = ask_yes("  other models that qualify behind them?", usually=role.discover)
    if discover != role.discover:
        asked["discover"] = discover
    cloud = _models(call, "cloud models, when no local one can", now=role.cloud_fallback, survey=survey)
    if cloud is not None:
        asked["cloud_fallback"] = cloud
    context = _context(now=role.requirements.context_min_tokens)
    if context != role.requirements.context_min_tokens:
        asked["requirements"] = {"context_length_min": context}
    return asked


def _models(call: Call, what: str, *, now: Sequence[str], survey: "Survey") -> list[str] | None:
    """The references that were named; ``None`` where it stays as it is."""
    while True:
        given = ask(f"  {what} [{', '.join(now) or _NONE}] ")
        if not given:
            return None
        named = [] if given == _NONE else given.replace(",", " ").split()
        strange = [one for one in named if not _is_known(one, survey=survey)]
        for one in strange:
            nearest = nearest_name(one, [str(model.ref) for model in survey.discovery.models])
            call.console.talk(f"  no provider has {one}" + (f"; did you mean {nearest}?" if nearest else ""))
        if not strange or ask_yes("  take it all the same?", usually=False):
            return None if tuple(named) == tuple(now) else named


def _is_known(reference: str, *, survey: "Survey") -> bool:
    from gateway.domain.candidates import Directory

    return Directory(survey.discovery).find(reference) is not None


def _context(*, now: int | None) -> int | None:
    while True:
        given = ask(f"  least context, in tokens [{_NONE if now is None else now}] ").replace(",", "")
        if not given:
            return now
        if given == _NONE:
            return None
        if given.isascii() and given.isdigit() and 0 < int(given) <= 100_000_000:
            return int(given)


def _answered_by(role: str, *, survey: "Survey") -> str:
    return " > ".join(str(one.ref) for one in survey.selection.plan.roles[role].deployments) or "no model"
