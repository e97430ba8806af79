"""Supervisor, pm2 and Runplane put through the same trees: what is alive when each says that it is stopped?

    python -m benchmarks.peers [--only NAME] [--write]

``--write`` puts the table into the README. Peers are installed into ``.venv-peers/`` the first time (pip, npm). Takes
about four minutes.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.peers.manager import Manager, PeerMissing
from benchmarks.peers.pm2 import Pm2
from benchmarks.peers.runplane import Runplane
from benchmarks.peers.supervisor import Supervisor
from benchmarks.peers.trial import CRASHED, Seen, crashed, stopped
from tests.torture.shapes import SHAPES

README = Path(__file__).parents[2] / "README.md"
BEGIN, END = "<!-- peers: begin -->", "<!-- peers: end -->"
MANAGERS: tuple[Callable[[Path], Manager], ...] = (Supervisor, Pm2, Runplane)


def main() -> int:
    """Try, print, and write when asked; 1 when Runplane left anything alive or lost a program."""
    asked = _arguments()
    columns: dict[str, dict[str, Seen]] = {}
    for manager in MANAGERS:
        if asked.only and manager.__name__.lower() != asked.only.lower():
            continue
        with tempfile.TemporaryDirectory(prefix="peers-") as place:
            try:
                tried = manager(Path(place))
            except PeerMissing as missing:
                print(f"without {manager.__name__}: {missing}", file=sys.stderr)
                continue
            try:
                columns[f"{tried.name} {tried.version.split(',')[0]}"] = _all(tried)
            finally:
                tried.close()
    table = _table(columns)
    print(table)
    if asked.write:
        _write(table)
    return int(any(not seen.held for name, seen in _of(columns, "Runplane").items() if name))


def _all(manager: Manager) -> dict[str, Seen]:
    results = {}
    for number, shape in enumerate(SHAPES):
        results[shape.name] = stopped(manager, shape, number)
        print(f"{manager.name}: {shape.name}: {results[shape.name]}", file=sys.stderr)
    results[CRASHED] = crashed(manager)
    print(f"{manager.name}: {CRASHED}: {results[CRASHED]}", file=sys.stderr)
    return results


def _of(columns: dict[str, dict[str, Seen]], name: str) -> dict[str, Seen]:
    return next((column for title, column in columns.items() if title.startswith(name)), {})


def _table(columns: dict[str, dict[str, Seen]]) -> str:
    lines = [f"| the program | {' | '.join(columns)} |", f"|---|{'---|' * len(columns)}"]
    names = [*(shape.name for shape in SHAPES), CRASHED]
    rows = [[name, *(str(column[name]) for column in columns.values())] for name in names]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def _write(table: str) -> None:
    text = README.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{README} has no lines {BEGIN!r} and {END!r} to put the table between")
    README.write_text(f"{before}{BEGIN}\n\n{table}\n\n{END}{after}", encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers", description=(__doc__ or "").splitlines()[0]
    )
    names = [manager.__name__.lower() for manager in MANAGERS]
    parser.add_argument("--only", metavar="NAME", choices=names, help=f"one of them: {', '.join(names)}")
    parser.add_argument("--write", action="store_true", help="put the table into the README")
    asked = parser.parse_args()
    if asked.only and asked.write:
        parser.error(
            "--only and --write: a table of one would take the place of the whole one; leave one out"
        )
    return asked


if __name__ == "__main__":
    sys.exit(main())
