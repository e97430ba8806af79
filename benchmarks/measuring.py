"""The measuring: one contender after the other within every step, so that what disturbs the machine disturbs all.

A round brings each contender through its whole life: started, killed with force, started, restarted, killed
gracefully. Between two acts there is a pause, so that nobody pays for the other's, or its own, last work. Clients,
watchers and clock are the same for all; the clock is CLOCK_MONOTONIC of this process.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from benchmarks.announcements import Announcements
from benchmarks.contender import Contender, Method

PAUSE_SECONDS = 0.04
"""How long everything is left alone before the next act."""
VISITORS = 100

OPERATIONS = {
    "call": "an empty request and its answer",
    "start": "request sent → first instruction of the process",
    "force": "request sent → answer that the tree is gone (SIGKILL)",
    "graceful": "request sent → answer that the tree is gone (SIGTERM)",
    "restart": "request sent → first instruction of the new process",
    "starts": f"{VISITORS} starts asked for at once → the last one's first instruction",
}
"""What is measured, by key, in order."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Milliseconds by operation and contender. ``rounds``: how many were taken, warm-up not counted."""

    samples: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    rounds: int = 0
    complete: bool = True


def measure(
    contenders: Mapping[Contender, Announcements], *, rounds: int, warm_up: int, seconds: float
) -> Measured:
    """Take ``rounds`` rounds after ``warm_up`` that are thrown away, or as many as begin within ``seconds``."""
    until = time.monotonic() + seconds
    samples: dict[str, dict[str, list[float]]] = {
        key: {contender.name: [] for contender in contenders} for key in OPERATIONS
    }
    taken = 0
    for number in range(-warm_up, rounds):
        if time.monotonic() > until:
            break
        for operation, name, milliseconds in _round(contenders, shift=number):
            if number >= 0:
                samples[operation][name].append(milliseconds)
        taken = number + 1
    return Measured(samples=samples, rounds=taken, complete=taken == rounds)


def measure_starts(measured: Measured, contenders: Mapping[Contender, Announcements], *, times: int) -> None:
    """Add how long it takes until the last of many, asked for at once, has begun; the first time is left out."""
    for number in range(times + 1):
        for contender, announcements in _in_turn(contenders, number):
            time.sleep(10 * PAUSE_SECONDS)
            announcements.expect_silence()
            began = time.monotonic_ns()
            contender.start_many(VISITORS)
            last = max(announcements.next() for _ in range(VISITORS))
            if number:
                measured.samples["starts"][contender.name].append((last - began) / 1e6)


def _round(contenders: Mapping[Contender, Announcements], shift: int) -> Iterator[tuple[str, str, float]]:
    def each(
        operation: str, act: Callable[[Contender, Announcements], float]
    ) -> Iterator[tuple[str, str, float]]:
        for contender, announcements in _in_turn(contenders, shift):
            time.sleep(PAUSE_SECONDS)
            yield operation, contender.name, act(contender, announcements) / 1e6

    yield from each("call", lambda contender, _: _timed(contender.call))
    yield from each("start", lambda contender, announcements: _started(contender, announcements, "force"))
    yield from each("force", lambda contender, _: _killed(contender))
    yield from each("start", lambda contender, announcements: _started(contender, announcements, "graceful"))
    yield from each("restart", _restarted)
    yield from each("graceful", lambda contender, _: _killed(contender))


def _in_turn(
    contenders: Mapping[Contender, Announcements], shift: int
) -> list[tuple[Contender, Announcements]]:
    """Everybody, each time beginning with another one."""
    everybody = list(contenders.items())
    first = shift % len(everybody)
    return everybody[first:] + everybody[:first]


def _started(contender: Contender, announcements: Announcements, method: Method) -> int:
    announcements.expect_silence()
    began = time.monotonic_ns()
    contender.start(method)
    return announcements.next() - began


def _restarted(contender: Contender, announcements: Announcements) -> int:
    pid = contender.pid()
    time.sleep(PAUSE_SECONDS)
    announcements.expect_silence()
    began = time.monotonic_ns()
    contender.restart()
    ended = announcements.next()
    _must_be_gone(pid)
    return ended - began


def _killed(contender: Contender) -> int:
    pid = contender.pid()
    time.sleep(PAUSE_SECONDS)
    took = _timed(contender.kill)
    _must_be_gone(pid)
    return took


def _timed(act: Callable[[], None]) -> int:
    began = time.monotonic_ns()
    act()
    return time.monotonic_ns() - began


def _must_be_gone(pid: int) -> None:
    """Whoever answers that it is gone has to be right."""
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        raise AssertionError(f"process {pid} was said to be gone and is there")
