"""How tables are laid out: everything in a pipe, what matters most on a narrow terminal."""

from itertools import pairwise

import pytest

from gateway.cli.tables import Cell, Column, Table, aligned, breaks, cells_wide, kept_columns

PLAN = Table(
    columns=(
        Column(title="ROLE"),
        Column(title="ORDER", right=True),
        Column(title="MODEL", wraps=True, least=12),
        Column(title="LANE", spare=2),
        Column(title="MEMORY", right=True, spare=1),
    ),
    rows=(
        (Cell(text="planner", style="bold"), "1", "ollama:llama3.1:8b", "ollama", "5.97 GB"),
        ("critic", "10", "lab:x", "openai", "-"),
    ),
)


def test_plain_lines_are_aligned_without_space_at_their_ends() -> None:
    assert aligned(PLAN) == [
        "ROLE     ORDER  MODEL               LANE     MEMORY",
        "planner      1  ollama:llama3.1:8b  ollama  5.97 GB",
        "critic      10  lab:x               openai        -",
    ]


def test_wide_characters_take_two_columns_and_combining_ones_none() -> None:
    assert [cells_wide(text) for text in ("abc", "模型", "e\u0301")] == [3, 4, 1]


@pytest.mark.parametrize(
    ("width", "kept"),
    [
        (80, (0, 1, 2, 3, 4)),
        (45, (0, 1, 2, 3, 4)),
        (44, (0, 1, 2, 4)),
        (37, (0, 1, 2, 4)),
        (36, (0, 1, 2, 3)),
        (34, (0, 1, 2)),
        (10, (0, 1, 2)),
    ],
)
def test_spare_columns_go_first_and_the_rest_always_stay(width: int, kept: tuple[int, ...]) -> None:
    assert kept_columns(PLAN, width=width) == kept


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("", 4, [""]),
        ("short", 5, ["short"]),
        ("two words", 5, ["two ", "words"]),
        ("two words", 4, ["two ", "word", "s"]),
        ("role_mappings.executor.preferred", 20, ["role_mappings.", "executor.preferred"]),
        ("see user_profiles/writing.json now", 22, ["see ", "user_profiles/writing.", "json now"]),
        ("unbreakable", 4, ["unbr", "eaka", "ble"]),
        ("模型模型", 4, ["模型", "模型"]),
        ("模", 1, ["模"]),
    ],
)
def test_lines_end_between_words_or_behind_a_joint(text: str, width: int, lines: list[str]) -> None:
    ends = [0, *breaks(text, width=width), len(text)]
    assert [text[a:b] for a, b in pairwise(ends)] == lines


def test_a_table_without_rows_is_as_wide_as_its_titles() -> None:
    assert kept_columns(Table(columns=PLAN.columns, rows=()), width=80) == (0, 1, 2, 3, 4)
