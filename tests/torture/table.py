"""The table in `docs/guarantees.md` that says how often each guarantee was tried and how often it held.

Made of what the parts of the torture counted (`tally.py`), and of nothing else; written between two marks.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

BEGIN = "<!-- torture: begin -->"
END = "<!-- torture: end -->"


@dataclass(frozen=True)
class Row:
    """One part's count for one guarantee."""

    guarantee: str
    part: str
    tried: int
    held: int


def read(results: Path) -> list[Row]:
    """The rows, by the number of the guarantee; counts of the same part are added up."""
    counts: dict[tuple[str, str], tuple[int, int]] = {}
    for line in results.read_text(encoding="utf-8").splitlines():
        result = json.loads(line)
        key = (result["guarantee"], result["part"])
        tried, held = counts.get(key, (0, 0))
        counts[key] = (tried + result["tried"], held + result["held"])
    rows = [Row(guarantee, part, *count) for (guarantee, part), count in counts.items()]
    return sorted(rows, key=lambda row: (_number(row.guarantee), row.guarantee, row.part))


def render(rows: Iterable[Row], note: str) -> str:
    """The table, with a total for each guarantee. What did not hold is said in bold."""
    lines = [note, "", "| guarantee | what was done | tried | held |", "|---|---|---:|---:|"]
    rows = list(rows)
    for guarantee in dict.fromkeys(row.guarantee for row in rows):
        own = [row for row in rows if row.guarantee == guarantee]
        if len(own) > 1:
            lines.append(f"| **{guarantee}** | *all of it* | {_counts(own)} |")
        lines += [
            f"| {guarantee if len(own) == 1 else ''} | {row.part.replace('|', ' ')} | {_counts([row])} |"
            for row in own
        ]
    return "\n".join(lines)


def put(table: str, page: Path) -> None:
    """Write it into the page, between the marks."""
    text = page.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} has no lines {BEGIN!r} and {END!r} to put the table between")
    page.write_text(f"{before}{BEGIN}\n\n{table}\n\n{END}{after}", encoding="utf-8")


def _counts(rows: list[Row]) -> str:
    tried, held = sum(row.tried for row in rows), sum(row.held for row in rows)
    return f"{tried:,} | {held:,}" if tried == held else f"{tried:,} | **{held:,}**"


def _number(guarantee: str) -> int:
    digits = guarantee.removeprefix("G")
    return int(digits) if digits.isdigit() else 1000
