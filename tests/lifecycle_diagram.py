"""Writes the diagram and the table of ``docs/lifecycle.md`` from the one table of the lifecycle.

``python -m tests.lifecycle_diagram`` writes them; with ``--check`` it fails where they are not what the table says.
"""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from runplane.contract.run import ENDED, OPEN, Status
from runplane.core.objections import AFTER_THE_END
from runplane.core.status import ABSENT, DECLARED, NEUTRAL, PREVIOUS, TABLE

PAGE = Path(__file__).resolve().parents[1] / "docs" / "lifecycle.md"
BEGIN, END = "<!-- generated: begin -->", "<!-- generated: end -->"
COMMAND = "python -m tests.lifecycle_diagram"
_NOT_DRAWN = """\
Not drawn: an `OutcomeOverridden` leads from every open status to the outcome it declares, and `RunReachable` back to
the status before the host fell silent."""


def main(arguments: list[str]) -> int:
    """Write the page, or with ``--check`` compare it; returns the exit code."""
    if arguments not in ([], ["--check"]):
        print(f"usage: {COMMAND} [--check]", file=sys.stderr)
        return 2
    text = PAGE.read_text(encoding="utf-8")
    expected = with_table(text)
    if not arguments:
        PAGE.write_text(expected, encoding="utf-8")
        return 0
    if text != expected:
        print(f"docs/lifecycle.md does not say what the lifecycle table says: run {COMMAND}", file=sys.stderr)
        return 1
    return 0


def with_table(text: str) -> str:
    """The page with what is generated made anew."""
    before, _, rest = text.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise SystemExit(f"docs/lifecycle.md lacks the lines {BEGIN} and {END}: put them back")
    return f"{before}{BEGIN}\n\n{generated()}\n\n{END}{after}"


def generated() -> str:
    """Diagram, table and lists, as Markdown."""
    parts = [
        "```mermaid\n" + "\n".join(diagram()) + "\n```",
        _NOT_DRAWN,
        "\n".join(table()),
        "Told of a run without moving its status: " + _names(NEUTRAL) + ".",
        "Still told of a run that has ended: "
        + _names(AFTER_THE_END)
        + ". Anything else is kept as an anomaly.",
    ]
    return "\n\n".join(parts)


def diagram() -> Iterator[str]:
    """The lines of a mermaid state diagram. What holds for every status with a host is drawn once, from all of them."""
    held = [status for status in Status if status in OPEN - {Status.PENDING}]
    everywhere = {
        record: target
        for record, target in TABLE[held[0]].items()
        if target not in held and all(TABLE[status].get(record) == target for status in held)
    }
    yield "stateDiagram-v2"
    yield "    direction LR"
    yield from _arrows("[*]", TABLE[ABSENT])
    yield '    state "held by a host" as held {'
    for status in held:
        inside = {record: target for record, target in TABLE[status].items() if target in held}
        yield from (f"    {arrow}" for arrow in _arrows(status, inside))
    yield "    }"
    yield from _arrows(Status.PENDING, TABLE[Status.PENDING])
    yield from _arrows("held", everywhere)
    for status in held:
        yield from _arrows(
            status,
            {
                record: target
                for record, target in TABLE[status].items()
                if target not in held and record not in everywhere
            },
        )
    yield from (f"    {status} --> [*]" for status in Status if status in ENDED)


def _arrows(source: str, moves: Mapping[str, str]) -> Iterator[str]:
    """One arrow for each target, with the records that lead there."""
    for target in dict.fromkeys(moves.values()):
        records = [name for name, to in moves.items() if to == target]
        if target not in (DECLARED, PREVIOUS, source):
            yield f"    {source} --> {target} : {', '.join(records)}"


def table() -> Iterator[str]:
    """The lines of a Markdown table: record, from, to."""
    sources: dict[tuple[str, str], list[str]] = {}
    for status, moves in TABLE.items():
        for record, target in moves.items():
            sources.setdefault((record, str(target)), []).append(str(status))
    yield "| record | leads from | to |"
    yield "|---|---|---|"
    for (record, target), statuses in sorted(sources.items()):
        froms = ", ".join("nothing" if status == ABSENT else f"`{status}`" for status in statuses)
        yield f"| `{record}` | {froms} | {_target(target)} |"
    ended = ", ".join(f"`{status}`" for status in Status if status in ENDED)
    yield f"| `OutcomeOverridden` with `replaced` | {ended} | the declared outcome |"


def _target(target: str) -> str:
    known = {DECLARED: "the declared outcome", PREVIOUS: "the status before"}
    return known.get(target, f"`{target}`")


def _names(records: frozenset[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(records))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
