"""What answers cost, on the command line."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.cli.app import main
from gateway.compose.journal import journal_of
from gateway.domain.record import RequestRecord
from gateway.telemetry.logs import Redactor
from record_builders import a_record, an_attempt

Ran = tuple[int, str, str]
Rolegate = Callable[..., Ran]
GPT = "openai:gpt-4o-mini"
CONFIGURATION = {
    "cloud_providers": {
        "openai": {
            "models": {
                "gpt-4o-mini": {"input_usd_per_mtok": 10, "output_usd_per_mtok": 100},
                "half-told": {"input_usd_per_mtok": 10},
                "from-the-map": {},
                "gpt-4o": {},
            }
        }
    }
}


@pytest.fixture
def rolegate(tmp_path: Path, state: Path, capsys: pytest.CaptureFixture[str]) -> Rolegate:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "models.json").write_text(json.dumps(CONFIGURATION))

    def run(*arguments: str) -> Ran:
        code = main([*arguments, "--config-dir", str(tmp_path / "config")])
        return (code, *capsys.readouterr())

    return run


def remember(state: Path, *records: RequestRecord) -> None:
    journal = journal_of(state, redactor=Redactor())
    journal.start()
    for one in records:
        journal.record(one)
    assert journal.flush(within_s=30)
    journal.close(within_s=30)


def from_cloud(cost_usd: float | None, *, role: str = "planner", days_ago: int = 0) -> RequestRecord:
    return a_record(
        role=role,
        model=GPT,
        cloud=True,
        attempts=(an_attempt(GPT, cloud=True),),
        cost_usd=cost_usd,
        time_s=time.time() - days_ago * 86_400,
    )


def lines(out: str) -> list[str]:
    return [" ".join(line.split()) for line in out.splitlines()]


def test_costs_are_summed_by_role_with_what_local_answers_would_have_cost(rolegate: Rolegate, state: Path) -> None:
    local = a_record(time_s=time.time(), prompt_tokens=100_000, completion_tokens=10_000)
    remember(state, local, from_cloud(0.25), from_cloud(None), from_cloud(1.5, role="critic"))
    code, out, err = rolegate("costs", "--as", GPT)
    assert (code, err) == (0, "1 cloud answer is not in it: what it cost is unknown\n")
    assert out.splitlines() == [
        "ROLE     CLOUD  LOCAL          TOKENS   COST  LOCAL AS IF",
        "critic       1      0        1,204/88  $1.50        $0.00",
        "planner      2      1  102,408/10,176  $0.25        $2.00",
        "all          3      1  103,612/10,264  $1.75        $2.00",
    ]


@pytest.mark.parametrize(
    ("by", "names"),
    [("model", [GPT, "all"]), ("provider", ["openai", "all"])],
)
def test_costs_are_summed_by_what_is_asked_for(rolegate: Rolegate, state: Path, by: str, names: list[str]) -> None:
    remember(state, from_cloud(0.25), from_cloud(0.5, days_ago=1))
    code, out, _ = rolegate("costs", "--by", by)
    assert code == 0
    assert [line.split()[0] for line in lines(out)[1:]] == names


def test_only_the_last_days_count(rolegate: Rolegate, state: Path) -> None:
    remember(state, from_cloud(0.25), from_cloud(0.5, days_ago=5))
    told = json.loads(rolegate("costs", "--days", "3", "--by", "day", "--json")[1])
    assert (told["days"], told["by"], told["as"]) == (3, "day", None)
    assert told["total"]["cost_usd"] == 0.25
    assert len(told["costs"]) == 1
    assert told["since"] <= told["costs"][0]["day"]
    assert json.loads(rolegate("costs", "--json")[1])["total"]["cost_usd"] == 0.75


def test_without_answers_nothing_is_made_up(rolegate: Rolegate) -> None:
    before = time.strftime("%Y-%m-%d", time.gmtime())
    code, out, err = rolegate("costs", "--days", "1")
    after = time.strftime("%Y-%m-%d", time.gmtime())
    assert (code, out) == (0, "")
    assert err in {f"no answer since {day} is in the journal\n" for day in (before, after)}


@pytest.mark.parametrize("model", ["openai:from-the-map", "ollama:mistral", "mistral", "groq:x"])
def test_a_model_without_a_known_price_cannot_be_compared_with(rolegate: Rolegate, model: str) -> None:
    code, out, err = rolegate("costs", "--as", model)
    assert (code, out) == (2, "")
    assert err == (
        f'error: no price is known for "{model}"\n'
        "hint: name a model as provider:model, of a cloud provider that is configured (openai), with a known price\n"
    )


def test_a_model_that_the_map_knows_can_be_compared_with(rolegate: Rolegate, state: Path) -> None:
    remember(state, a_record(time_s=time.time()))
    told = json.loads(rolegate("costs", "--as", "openai:gpt-4o", "--json")[1])
    assert told["as"] == "openai:gpt-4o"
    assert told["total"]["as_if_usd"] > 0


def test_a_choice_that_there_is_not_is_refused_with_those_that_there_are(rolegate: Rolegate) -> None:
    assert rolegate("costs", "--by", "hour") == (
        2,
        "",
        (
            "error: Invalid value for '--by': 'hour' is not one of 'role', 'model', 'provider', 'day'.\n"
            "hint: see `rolegate costs --help`\n"
        ),
    )
