"""Every fault, on every lane, streamed and whole, alone and beside a healthy deployment: what comes of it for the caller.

The rows are in ``fault_table``. All cells that were chosen run together before the first of them is judged. With
``FAULT_TIMES=file.json`` in the environment the time to every answer is written there.
"""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from contract.fault_cells import Cell, Row, cells
from contract.fault_endings import TRANSPORT, UPSTREAM_ERROR, Ending
from contract.fault_runner import KEY, SECOND_PIECES, Observed, run_cells
from contract.fault_table import ROWS
from fakes import faults
from gateway.backend.library import load_library
from gateway.domain.model import Lane
from gateway.relay import connections

ALL: Final = cells(ROWS)
LONGEST_MESSAGE: Final = 1_200
"""Characters: what upstream says is cut at 1,000."""
TIMES: Final = "FAULT_TIMES"
DOWN: Final = cells(
    (
        Row(name="down", door="refuses", ending=TRANSPORT),
        Row(name="failing", fault=lambda _: faults.status(500, '{"error":"boom"}'), ending=UPSTREAM_ERROR),
    )
)


def marked(chosen: Sequence[Cell]) -> list[Any]:
    """Cells as parameters; what comes of a fault on the litellm lane is a fact about LiteLLM, too."""
    facts = {Lane.LITELLM: (pytest.mark.litellm_facts,)}
    return [pytest.param(cell, id=cell.id, marks=facts.get(cell.lane, ())) for cell in chosen]


@pytest.fixture(scope="module")
def litellm() -> Iterator[None]:
    """LiteLLM, imported once, with nothing in the environment that could lead it elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
            patch.delenv(name)
        module = load_library().module
        # Every cell has servers of its own, hence more clients than LiteLLM keeps; those it drops it does not close.
        patch.setattr(module.in_memory_llm_clients_cache, "max_size_in_memory", 10_000)
        patch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
        patch.setenv("LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS", "True")
        yield


@pytest.fixture(scope="module")
def matrix(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, litellm: None
) -> dict[str, Observed]:
    """What came of the cells that this run is to judge."""
    wanted = {item.name for item in request.session.items}
    test = test_a_fault_ends_as_the_table_says.__name__
    chosen = [cell for cell in ALL if f"{test}[{cell.id}]" in wanted]
    with pytest.MonkeyPatch.context() as patch:
        # A busy machine takes its time to reset a connection; what a kept one that was reset means must not hang on that.
        patch.setattr(connections, "STALE_S", 10.0)
        seen = run_cells(chosen, folder=tmp_path_factory.mktemp("matrix"))
    path = os.environ.get(TIMES)
    if path:
        Path(path).write_text(json.dumps({name: times(one) for name, one in seen.items()}, indent=1))
    return seen


def times(seen: Observed) -> dict[str, float]:
    return {"first_byte_s": round(seen.first_byte_s, 4), "total_s": round(seen.total_s, 4)}


@pytest.mark.parametrize("cell", marked(ALL))
def test_a_fault_ends_as_the_table_says(cell: Cell, matrix: dict[str, Observed]) -> None:
    judge(cell, matrix[cell.id])


@pytest.mark.parametrize("cell", marked([one for one in DOWN if one.beside]))
def test_with_the_first_choice_down_the_second_answers(cell: Cell, litellm: None, tmp_path: Path) -> None:
    seen = run_cells([cell], folder=tmp_path)[cell.id]
    judge(cell, seen)
    print(cell.id, json.dumps(times(seen)))  # noqa: T201  (shown by `pytest -rP`)


def test_the_matrix_is_as_wide_as_it_should_be() -> None:
    names = [row.name for row in ROWS]
    assert len(set(names)) == len(names)
    everywhere = [row for row in ROWS if len(row.lanes) == 3]
    assert len(everywhere) >= 24


def judge(cell: Cell, seen: Observed) -> None:
    """Hold what was observed against the table."""
    if seen.trouble is not None:
        raise seen.trouble
    assert KEY.encode() not in seen.body
    told = attempts_told(cell, seen)
    if cell.breaks_off:
        judge_broken(cell, seen)
    elif cell.attempts[-1][1]:
        judge_refused(cell, seen)
    else:
        judge_answered(cell, seen)
    assert told == cell.attempts
    assert seen.asked_elsewhere == 0
    assert seen.asked_second == sum(model == cell.second for model, _ in cell.attempts)
    if cell.row.door == "server":
        assert seen.asked_first == sum(model == cell.first for model, _ in cell.attempts) + cell.ending.resent
    assert seen.left == []


def attempts_told(cell: Cell, seen: Observed) -> list[tuple[str, str]]:
    """The attempts as the caller is told of them: by the error, by the trace, or (streams) by their number and the reason."""
    error = error_of(seen)
    if error is not None:
        return [(one["model"], one["class"]) for one in error["attempts"]]
    trace = seen.headers.get("x-rolegate-trace")
    if trace is not None:
        steps = [step.partition(";")[0].rpartition("=") for step in trace.split(", ")]
        return [(model, "" if what == "ok" else what) for model, _, what in steps]
    assert int(seen.headers["x-rolegate-attempts"]) == len(cell.attempts)
    return cell.attempts


def error_of(seen: Observed) -> Any:
    if not seen.headers["content-type"].startswith("text/event-stream"):
        return json.loads(seen.body).get("error")
    errors = [event["error"] for event in seen.events if event != "[DONE]" and "error" in event]
    assert len(errors) <= 1
    return errors[0] if errors else None


def judge_refused(cell: Cell, seen: Observed) -> None:
    """An error and nothing else, ended properly."""
    assert seen.whole
    assert seen.headers["content-type"] == "application/json"
    judge_error(cell.ending, error_of(seen))
    assert seen.status == cell.ending.status
    assert seen.headers["x-rolegate-attempts"] == str(len(cell.attempts))
    assert ("retry-after" in seen.headers) is cell.ending.retry_after


def judge_broken(cell: Cell, seen: Observed) -> None:
    """The text so far, once; an error event; no ``[DONE]``, and an end that no client takes for a clean one."""
    ending = cell.ending
    assert seen.status == 200
    text = text_of(seen)
    if ending.endless:
        assert text == ending.delivered * (len(text) // len(ending.delivered)) != ""
    else:
        assert text == ending.delivered
    assert "error" in seen.events[-1]
    judge_error(ending, error_of(seen))
    assert not any(choice["finish_reason"] for choice in choices_of(seen))
    assert not seen.whole


def judge_error(ending: Ending, error: Any) -> None:
    assert error is not None
    assert (error["code"], error["type"]) == (ending.code, ending.kind)
    assert error["source"] == ending.source
    assert 0 < len(error["message"]) <= LONGEST_MESSAGE


def judge_answered(cell: Cell, seen: Observed) -> None:
    """A complete answer, from the deployment that was to give it."""
    ending, model = cell.ending, cell.attempts[-1][0]
    assert seen.status == 200, seen.body
    assert seen.whole
    assert error_of(seen) is None
    assert seen.headers["x-rolegate-model"] == model
    if model == cell.second:
        assert seen.headers["x-rolegate-fallback-reason"] == f"{cell.first}: {ending.failure}"
    else:
        assert "x-rolegate-fallback-reason" not in seen.headers
    own = model == cell.first
    assert text_of(seen) == (ending.text if own else "".join(SECOND_PIECES))
    finishes = [choice["finish_reason"] for choice in choices_of(seen) if choice["finish_reason"]]
    assert finishes == [ending.finish if own else "stop"]
    assert len(calls_of(seen)) == (ending.calls if own else 0)
    if cell.stream:
        assert seen.events[-1] == "[DONE]"
        assert seen.events.count("[DONE]") == 1


def choices_of(seen: Observed) -> list[Any]:
    if not seen.headers["content-type"].startswith("text/event-stream"):
        return list(json.loads(seen.body)["choices"])
    return [choice for event in seen.events if event != "[DONE]" for choice in event.get("choices", [])]


def messages_of(seen: Observed) -> list[Any]:
    """The messages or deltas of an answer."""
    return [choice.get("delta") or choice.get("message") or {} for choice in choices_of(seen)]


def text_of(seen: Observed) -> str:
    return "".join(message.get("content") or "" for message in messages_of(seen))


def calls_of(seen: Observed) -> list[Any]:
    return [call for message in messages_of(seen) for call in message.get("tool_calls") or [] if call.get("id")]
