"""From what was seen to a verdict: every verdict, and everything that keeps one from being given."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from agent.watch.repetition import Repeat
from agent.watch.sockets import Connection
from agent.watch.verdict import OpenStep, Sight, Thresholds, judge, needs_waits
from agent.watch.waits import ThreadWait
from runplane.contract.spec import Usual

LIMITS = Thresholds(silent=300, spinning=120, looping=50, step=600)
OFF = Thresholds(silent=None, spinning=None, looping=None, step=None)
NOW = datetime(2026, 3, 1, 14, 13, 11, tzinfo=UTC)
QUIET = Sight(now=NOW, quiet=400, busy=0, cpu_percent=0.1, main=10, parents={10: 1}, names={10: "python"})
PEER = Connection("ESTABLISHED", "127.0.0.1:5000", "127.0.0.1:8443", quiet_seconds=660)


def wait(kind: Any, pid: int = 10, tid: int | None = None, **more: Any) -> ThreadWait:
    return ThreadWait(pid=pid, tid=tid or pid, name="python", state="S", kind=kind, **more)


def seen(*waits: ThreadWait, **changes: Any) -> Sight:
    return replace(QUIET, waits=list(waits), **changes)


@pytest.mark.parametrize(
    ("sight", "verdict", "said"),
    [
        (seen(wait("lock")), "idle", "waits for a lock of its own"),
        (seen(wait("sleep")), "idle", "sleeps"),
        (seen(wait("accept")), "idle", "waits for connections"),
        (seen(), "idle", "does nothing"),
        (seen(wait("sleep"), cpu_percent=7.0), "silent", "although it uses 7 % of a core"),
        (seen(wait("input", fd=0)), "waiting_for_input", "nobody gives it"),
        (
            seen(wait("reply", connection=PEER)),
            "awaiting_api",
            "a reply from 127.0.0.1:8443 (ESTABLISHED, nothing received since 14:02:11 UTC)",
        ),
        (seen(wait("connect", connection=replace(PEER, state="SYN_SENT"))), "awaiting_api", "to accept"),
        (seen(wait("pipe_full", fd=4)), "waiting_on_io", "full"),
        (seen(wait("file_lock", on="/x.lock")), "waiting_on_io", "a lock on /x.lock"),
        (seen(wait("fifo")), "waiting_on_io", "FIFO"),
        (seen(wait("disk", place="nfs_wait")), "waiting_on_io", "in nfs_wait"),
        (seen(wait("sleep"), last_line="waiting for lock /x"), "waiting_on_io", "as its last line says"),
        (seen(wait("lock"), finished="progress 40 of 40"), "finished_but_alive", "progress 40 of 40"),
        (seen(wait("lock"), wait("reply", tid=11, connection=PEER)), "awaiting_api", "8443"),
        (replace(QUIET, quiet=200, busy=200, cpu_percent=99), "spinning", "99 % of a core and has said nothing since"),
        (replace(QUIET, stopped=30), "stopped", "stands still"),
    ],
)  # fmt: skip
def test_each_verdict(sight: Sight, verdict: str, said: str) -> None:
    found = judge(LIMITS, sight)
    assert found is not None
    assert found.name == verdict
    assert said in found.detail
    assert 0.5 <= found.sure <= 1


def test_a_child_that_does_nothing_is_named() -> None:
    tree = {"parents": {10: 1, 11: 10}, "names": {10: "python", 11: "sleep"}}
    found = judge(LIMITS, seen(wait("child"), wait("sleep", pid=11), **tree))
    assert found is not None
    assert (found.name, "sleep (pid 11)" in found.detail) == ("waiting_on_child", True)


def test_what_a_child_waits_for_outside_is_the_reason() -> None:
    tree = {"parents": {10: 1, 11: 10}, "names": {10: "python", 11: "curl"}}
    found = judge(LIMITS, seen(wait("child"), wait("reply", pid=11, connection=PEER), **tree))
    assert found is not None
    assert (found.name, found.detail.startswith("its process curl (pid 11) waits for a reply")) == (
        "awaiting_api",
        True,
    )


def test_a_shell_around_the_program_is_not_the_one_that_is_stuck() -> None:
    tree = {"parents": {10: 1, 11: 10}, "names": {10: "sh", 11: "python"}}
    found = judge(LIMITS, seen(wait("child"), wait("lock", pid=11), **tree))
    assert found is not None
    assert found.name == "idle"
    assert "its process python (pid 11)" in found.detail


@pytest.mark.parametrize(
    ("cycles", "exact", "verdict"), [(50, True, "looping"), (50, False, "looping"), (49, True, None)]
)
def test_looping(cycles: int, exact: bool, verdict: str | None) -> None:
    repeat = Repeat(period=7, cycles=cycles, since=0, is_exact=exact, sample="x\x1b[2J")
    found = judge(LIMITS, replace(QUIET, quiet=0, repeat=repeat, repeating=60))
    assert (found.name if found else None) == verdict
    if found:
        assert "the same 7 lines" in found.detail
        assert ("only the numbers change" in found.detail) is not exact
        assert "\x1b" not in found.detail
        assert found.since == 60


@pytest.mark.parametrize(
    ("step", "verdict"),
    [
        (OpenStep(name="plan", age=601), "step_overrun"),
        (OpenStep(name="plan", age=599), None),
        (OpenStep(name="plan", age=700, expected=1000), None),
        (OpenStep(name="plan", age=40, expected=20), "step_overrun"),
    ],
)
def test_steps(step: OpenStep, verdict: str | None) -> None:
    found = judge(LIMITS, replace(QUIET, quiet=1, step=step))
    assert (found.name if found else None) == verdict


@pytest.mark.parametrize(
    "sight",
    [
        replace(QUIET, quiet=299, waits=[wait("lock")]),
        replace(QUIET, waits=None),
        seen(wait("lock"), working="it works on /data"),
        seen(wait("sleep"), step=OpenStep(name="wait", age=400, expected=500)),
        replace(QUIET, quiet=119, busy=119, cpu_percent=100),
        replace(QUIET, quiet=400, busy=100, cpu_percent=100, waits=[wait("running")]),
        replace(QUIET, quiet=400, busy=400, cpu_percent=100, working="it writes to the disk"),
    ],
)
def test_what_is_left_alone(sight: Sight) -> None:
    assert judge(LIMITS, sight) is None


def test_what_is_not_looked_for_is_not_found() -> None:
    repeat = Repeat(period=1, cycles=10**6, since=0, is_exact=True, sample="x")
    step = OpenStep(name="plan", age=10**6)
    assert judge(OFF, seen(wait("lock"), stopped=10**6, repeat=repeat, step=step)) is None
    assert not needs_waits(OFF, QUIET)
    assert needs_waits(LIMITS, QUIET)


def test_a_step_far_past_its_own_history() -> None:
    usual = Usual(times=14, usual=12.0, longest=31.0, limit=93.0)
    quick = seen(step=OpenStep(name="plan", age=90, usual=usual), quiet=0)
    late = seen(step=OpenStep(name="plan", age=95, usual=usual), quiet=0)
    given = replace(LIMITS, step=None)
    assert judge(given, quick) is None
    verdict = judge(given, late)
    assert verdict is not None
    assert (verdict.name, verdict.detail) == (
        "step_overrun",
        "step “plan” has taken 95 s, far past its own history: usually 12 s, at most 31 s, 14 times seen",
    )
    assert judge(replace(LIMITS, step=600), late) is None
    declared = seen(step=OpenStep(name="plan", age=95, expected=200, usual=usual), quiet=0)
    assert judge(given, declared) is None
