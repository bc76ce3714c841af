"""What is generated into the documentation is what would be generated now, and what it says of the commands is so."""

import re
from pathlib import Path

import pytest

from gateway.config.settings import SETTINGS
from gateway.config.settings_table import BEGIN, END, settings_table, with_table, write_table

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs" / "guide.md"


def test_the_table_of_settings_in_the_guide_is_fresh() -> None:
    text = GUIDE.read_text(encoding="utf-8")
    assert with_table(text) == text, "out of date; run `make docs`"


def test_make_docs_writes_all_that_is_generated() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    recipe = re.search(r"^docs:.*\n((?:\t.*\n)+)", makefile, flags=re.MULTILINE)
    assert recipe is not None
    assert 'write_schemas(Path("config/schema"))' in recipe[1]
    assert 'write_table(Path("docs/guide.md"))' in recipe[1]


def test_every_setting_has_a_row_with_its_variable_default_and_meaning() -> None:
    head, line, *rows = settings_table().splitlines()
    assert (head, line) == ("| setting | variable | default | what it is |", "|---|---|---|---|")
    assert [row.split("`")[1] for row in rows] == list(SETTINGS)
    assert "| `port` | `ROLEGATE_PORT` | `4000` | port to listen on |" in rows
    assert "| `embedded` | `ROLEGATE_EMBEDDED` | `true` | use the embedded engine |" in rows
    assert "| `log_format` | `ROLEGATE_LOG_FORMAT` | `text` | how log lines are written: `text` or `json` |" in rows


def test_what_is_stale_is_written_and_then_fresh(tmp_path: Path) -> None:
    guide = tmp_path / "guide.md"
    guide.write_text(f"before\n\n{BEGIN}\n| old |\n{END}\n\nafter\n", encoding="utf-8")
    assert write_table(guide) == ("guide.md",)
    assert guide.read_text(encoding="utf-8") == f"before\n\n{BEGIN}\n\n{settings_table()}\n\n{END}\n\nafter\n"
    assert write_table(guide) == ()


@pytest.mark.parametrize("text", ["", f"{BEGIN}\n", f"{END}\n{BEGIN}\n", f"{BEGIN}\nx\n{END}\n{BEGIN}\nx\n{END}\n"])
def test_a_text_without_a_place_for_the_table_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="there is no place for the table of settings"):
        with_table(text)


def test_the_benchmarks_are_credited_by_name_and_link() -> None:
    text = GUIDE.read_text(encoding="utf-8")
    credited = dict(re.findall(r"\[([^\]]+)\]\((https://[^)]+)\)", text.replace("\n", " ")))
    assert {
        "Artificial Analysis": "https://artificialanalysis.ai",
        "LMArena": "https://lmarena.ai",
        "LiveBench": "https://livebench.ai",
        "EQ-Bench": "https://eqbench.com",
        "Open LLM Leaderboard": "https://huggingface.co/open-llm-leaderboard",
        "BFCL (Gorilla)": "https://gorilla.cs.berkeley.edu/leaderboard.html",
        "EuroEval": "https://euroeval.com",
        "Aider": "https://aider.chat/docs/leaderboards/",
        "EvalPlus": "https://evalplus.github.io",
        "Epoch AI": "https://epoch.ai/benchmarks",
        "llm-stats": "https://llm-stats.com",
        "Llama 3 quant comparison": "https://github.com/matt-c1/llama-3-quant-comparison",
        "Aider's quant runs": "https://aider.chat/2024/11/21/quantization.html",
    }.items() <= credited.items()
