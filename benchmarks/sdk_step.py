"""What a step of the SDK costs, against bare writes of the same bytes in the same run.

Each round measures all of them, one after the other, on fresh files of one temporary directory; the medians of the
rounds are printed. A step writes two lines, so the bare measure writes both. Look at the ratio, not at microseconds.

    python -m benchmarks.sdk_step [ROUNDS [STEPS]]
"""

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import runplane
from runplane.sdk.channel import Channel
from runplane.sdk.control import hold

LIMIT_MICROSECONDS = 30
"""What a step may cost that nothing holds, beside its report lines; and the look at control.json alone."""


def main(rounds: int = 15, steps: int = 2000) -> int:
    """Measure and print; 1 if a step costs more than it may."""
    with tempfile.TemporaryDirectory(prefix="runplane-bench-") as directory:
        control = Path(directory) / "control.json"
        control.write_text(json.dumps({"breakpoints": [], "paused": False, "permits": 0, "variables": {}}))
        figures: dict[str, list[float]] = {}
        for number in range(rounds):
            place = Path(directory) / str(number)
            place.mkdir()
            (place / "control.json").write_bytes(control.read_bytes())
            for name, seconds in _round(str(place), steps).items():
                figures.setdefault(name, []).append(seconds / steps * 1e6)
    medians = {name: statistics.median(values) for name, values in figures.items()}
    for name, median in medians.items():
        print(f"{name:<28}{median:8.2f} µs  ({min(figures[name]):.2f} to {max(figures[name]):.2f})")
    bare = medians["two bare writes"]
    print(f"a decorated step / two bare writes of its lines: {medians['decorated step'] / bare:.1f}")
    print(f"a step in a with / two bare writes of its lines: {medians['step in a with'] / bare:.1f}")
    beside = [
        step - reports
        for step, reports in zip(figures["decorated step"], figures["its two reports"], strict=True)
    ]
    print(
        f"a decorated step beside its report lines: {statistics.median(beside):.2f} µs (limit {LIMIT_MICROSECONDS})"
    )
    is_cheap = statistics.median(beside) < LIMIT_MICROSECONDS
    return 0 if is_cheap and medians["look at control.json"] < LIMIT_MICROSECONDS else 1


def _round(directory: str, steps: int) -> dict[str, float]:
    @runplane.step
    def work(number: int) -> int:
        return number

    def in_a_with() -> None:
        for number in range(steps):
            with runplane.step("work", number=number) as this:
                this.result = number

    def decorated() -> None:
        for number in range(steps):
            work(number)

    outside = _timed(decorated)
    os.environ["RUNPLANE_DIR"] = directory
    try:
        found = {"decorated step": _timed(decorated), "step in a with": _timed(in_a_with)}
    finally:
        del os.environ["RUNPLANE_DIR"]
    end = Channel(directory)
    found["look at control.json"] = _timed(lambda: _looks(end, steps))
    lines = (Path(directory) / "reports.jsonl").read_bytes().splitlines(keepends=True)[: 2 * steps]
    bodies = [{name: value for name, value in json.loads(line).items() if name != "t"} for line in lines]
    found["its two reports"] = _timed(lambda: _reports(end, bodies))
    found["two bare writes"] = _timed(lambda: _bare(Path(directory) / "bare.jsonl", lines))
    found["decorated, outside a run"] = outside
    return found


def _looks(end: Channel, steps: int) -> None:
    for _ in range(steps):
        for _wait in hold(end.control, "step:work", dict, end.report):
            raise AssertionError("nothing asked for a hold")


def _reports(end: Channel, bodies: list[dict[str, object]]) -> None:
    for body in bodies:
        end.report(body)


def _bare(path: Path, lines: list[bytes]) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        for line in lines:
            os.write(descriptor, line)
    finally:
        os.close(descriptor)


def _timed(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
