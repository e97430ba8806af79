"""Start, kill and restart against what the kernel needs and against ``supervisor``, all in one run.

    python -m benchmarks [--json] [--rounds 50] [--no-peer] [--check]

``--check`` makes a missed target exit code 1. Takes about a minute and a half.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from benchmarks.announcements import Announcements
from benchmarks.contender import Contender
from benchmarks.figures import figures
from benchmarks.floor import Floor
from benchmarks.measuring import VISITORS, measure, measure_starts
from benchmarks.peer import PeerMissing, Supervisor
from benchmarks.report import document, show
from benchmarks.system import Runplane

MEASURE_SECONDS = 110.0
WARM_UP = 3
STARTS_TIMES = 3


def main() -> int:
    """Measure and print; 1 when a target was missed and ``--check`` asked."""
    asked = _arguments()
    # Being told to end is an exception like any other: whatever was started is ended on the way out.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    notes: list[str] = []
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="runplane-bench-")))
        contenders = _contenders(stack, directory, notes, with_peer=not asked.no_peer)
        load = os.getloadavg()[0]
        measured = measure(contenders, rounds=asked.rounds, warm_up=WARM_UP, seconds=MEASURE_SECONDS)
        if not measured.complete:
            notes.append(f"{measured.rounds} of {asked.rounds} rounds: {MEASURE_SECONDS:g} s were over")
        measure_starts(measured, contenders, times=STARTS_TIMES)
        notes.append(_busy(load))
    found = figures(measured.samples)
    if asked.json:
        print(json.dumps(document(found, list(contenders), notes), indent=2))
    else:
        show(found, list(contenders), notes)
    return 1 if asked.check and any(one.within_target is False for one in found) else 0


def _busy(before: float) -> str:
    """A machine that others use at the same time slows a chain of processes more than a single one."""
    cores = os.cpu_count() or 1
    said = f"load average before the measuring: {before:.1f} on {cores} cores"
    return (
        f"{said}: others were at work, so neither figures nor ratios are those of a quiet machine"
        if before > cores
        else said
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON document")
    parser.add_argument(
        "--rounds", type=int, default=50, help="measurements of each operation; starts: twice as many"
    )
    parser.add_argument("--no-peer", action="store_true", help="leave supervisor out")
    parser.add_argument("--check", action="store_true", help="exit code 1 when a target is missed")
    return parser.parse_args()


def _contenders(
    stack: ExitStack, directory: Path, notes: list[str], *, with_peer: bool
) -> dict[Contender, Announcements]:
    """Each with a FIFO of its own; the system under test comes last and so is stopped first."""
    contenders: dict[Contender, Announcements] = {}

    def place(name: str) -> tuple[Path, Announcements]:
        (directory / name).mkdir()
        fifo = directory / name / "announcements"
        return fifo, stack.enter_context(Announcements(fifo))

    fifo, announcements = place("floor")
    contenders[stack.enter_context(Floor(fifo))] = announcements
    if with_peer:
        fifo, announcements = place("supervisor")
        try:
            peer = Supervisor(fifo.parent, fifo, visitors=VISITORS)
        except PeerMissing as missing:
            notes.append(f"without the peer: {missing}")
        else:
            contenders[stack.enter_context(peer)] = announcements
    fifo, announcements = place("runplane")
    contenders[stack.enter_context(Runplane(fifo.parent, fifo))] = announcements
    return contenders


if __name__ == "__main__":
    sys.exit(main())
