"""The table says what was counted: sums, what did not hold, and nothing but what lies between the marks is touched."""

import json
from pathlib import Path

import pytest

from tests.torture.table import BEGIN, END, put, read, render
from tests.torture.tally import Tally


def test_counts_are_added_up_and_what_broke_is_bold(tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    for _ in range(2):
        part = Tally("Kills")
        part.held("G15", True, "")
        part.held("G7", False, "started twice")
        part.write(file)
    other = Tally("Starts")
    for _ in range(1500):
        other.held("G7", True, "")
    other.write(file)
    table = render(read(file), "Counted.").splitlines()
    assert table == [
        "Counted.",
        "",
        "| guarantee | what was done | tried | held |",
        "|---|---|---:|---:|",
        "| **G7** | *all of it* | 1,502 | **1,500** |",
        "|  | Kills | 2 | **0** |",
        "|  | Starts | 1,500 | 1,500 |",
        "| G15 | Kills | 2 | 2 |",
    ]
    assert json.loads(file.read_text().splitlines()[0])["held"] == 1


def test_only_what_is_between_the_marks_is_written(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    put("new", page)
    put("newer", page)
    assert page.read_text() == f"before\n{BEGIN}\n\nnewer\n\n{END}\nafter\n"
    page.write_text(f"{END} {BEGIN}")
    with pytest.raises(ValueError, match="no lines"):
        put("new", page)


def test_the_page_has_the_marks() -> None:
    page = (Path(__file__).parents[2] / "docs" / "guarantees.md").read_text(encoding="utf-8")
    assert page.index(BEGIN) < page.index(END)
