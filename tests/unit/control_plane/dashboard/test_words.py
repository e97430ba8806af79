from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from control_plane.dashboard import words
from runplane.contract.run import (
    Cleanup,
    Condition,
    Exit,
    Failure,
    Freed,
    KillReceipt,
    Override,
    ProcessEnd,
    Progress,
    Run,
    SignalSent,
    Status,
    Survivor,
)

AT = datetime(2026, 3, 1, 14, 2, 11, 250_000, tzinfo=UTC)


def run(**told: Any) -> Run:
    given = {"run_id": "run_0123456789ab", "workflow": "lina", "workflow_version": 1, "status": Status.RUNNING,
             "created_at": AT, "requested_by": "operator", "seq": 1}  # fmt: skip
    return Run(**{**given, **told})


def receipt(**told: Any) -> KillReceipt:
    given = {"command_id": "c" * 32, "requested_by": "operator", "via": "dashboard", "method": "graceful",
             "verified": True, "verified_by": ("cgroup", "subreaper"), "started_at": AT,
             "ended_at": AT + timedelta(milliseconds=840), "duration_ms": 840.0}  # fmt: skip
    return KillReceipt(**{**given, **told})


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (None, "—"),
        (0, "0 B"),
        (1023, "1023 B"),
        (1536, "1.5 KiB"),
        (40_265_318, "38.4 MiB"),
        (2**50, "1024.0 TiB"),
    ],
)
def test_bytes_are_said_in_the_largest_unit_that_fits(count: int | None, said: str) -> None:
    assert words.size(count) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(None, "—"), (-1, "0 ms"), (0.84, "840 ms"), (12.9, "12 s"), (243, "4 min 3 s"), (7_500, "2 h 5 min"),
     (273_600, "3 d 4 h")],
)  # fmt: skip
def test_spans_are_said_in_two_units_at_most(seconds: float | None, said: str) -> None:
    assert words.span(seconds) == said


def test_every_status_has_a_colour_and_is_said_without_underscores() -> None:
    assert set(words.STATUS_HUE) == set(Status)
    assert words.status(Status.TIMED_OUT) == "timed out"


def test_a_line_has_no_control_sequences_no_breaks_and_an_end() -> None:
    assert words.one_line("\x1b[31mred\x1b[0m\n \u202etwo\ttabs") == "red two tabs"
    assert words.one_line("x" * 300) == "x" * 199 + "…"
    assert words.one_line("<b>bold</b>") == "<b>bold</b>"


@pytest.mark.parametrize(
    ("done", "total", "share"),
    [(3, 10, 0.3), (12, 10, 1.0), (-1, 10, 0.0), (3, None, None), (None, 10, None), (0, 0, None)],
)
def test_the_share_is_between_none_and_all(
    done: float | None, total: float | None, share: float | None
) -> None:
    assert words.share(Progress(done=done, total=total, updated_at=AT)) == share
    assert words.share(None) is None


def test_progress_says_figures_then_message() -> None:
    assert words.progress_text(None) == ""
    progress = Progress(done=12, total=40, unit="issues", message="analysing NMSTX-187", updated_at=AT)
    assert words.progress_text(progress) == "12 / 40 issues · analysing NMSTX-187"
    assert words.progress_text(Progress(done=0.5, updated_at=AT)) == "0.5"


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({}, ""),
        ({"status": Status.COMPLETED, "exit": Exit(code=0)}, "exit code 0"),
        ({"status": Status.KILLED, "exit": Exit(signal="SIGKILL")}, "ended by SIGKILL"),
        (
            {"status": Status.KILLED, "kill_receipt": receipt(reason="it\nhangs")},
            "killed by operator: it hangs",
        ),
        (
            {"status": Status.FAILED, "failure": Failure(kind="exit", message="it ended with 3")},
            "it ended with 3",
        ),
        ({"status": Status.CANCELED}, "canceled before any process of it existed"),
        (
            {"override": Override(outcome="completed", by="eva", reason="done", at=AT, observed="killed")},
            "declared completed by eva: done",
        ),
    ],
)
def test_an_end_is_said_with_who_and_why(told: dict[str, Any], said: str) -> None:
    assert words.outcome(run(**told)) == said


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"status": Status.PENDING, "pool": "gpu"}, "waiting for a host of pool gpu with a free slot"),
        ({"status": Status.PENDING, "host": "h1"}, "waiting for h1 with a free slot"),
        (
            {"status": Status.PENDING, "restarted_from": "run_ba9876543210"},
            "starts when run_ba9876543210 has ended and a host is free",
        ),
        ({"status": Status.TERMINATING}, "its processes are being ended"),
        ({"status": Status.UNREACHABLE, "host": "h1"}, "h1 is not heard from"),
        (
            {"conditions": (Condition(type="stuck", verdict="waiting_for_input", since=AT),)},
            "waiting for input",
        ),
        ({"progress": Progress(done=1, total=4, updated_at=AT)}, "1 / 4"),
        (
            {
                "status": Status.COMPLETED,
                "exit": Exit(code=0),
                "progress": Progress(done=4, total=4, updated_at=AT),
            },
            "exit code 0 · 4 / 4",
        ),
    ],
)
def test_the_line_about_a_run_says_what_matters_first(told: dict[str, Any], said: str) -> None:
    assert words.saying(run(**told)) == said


def test_a_receipt_says_who_what_and_what_proves_it() -> None:
    signals = [SignalSent(signal="SIGTERM", pid=pid, at=AT) for pid in (7, 8)]
    lines = words.receipt_lines(
        receipt(
            reason="hangs",
            signals=(*signals, SignalSent(signal="SIGKILL", pid=8, at=AT)),
            processes=(ProcessEnd(pid=7, start_time=1, cmdline="sh -c 'x\ny'", exit="SIGTERM"),),
            freed=Freed(rss_bytes=2**20, open_files=6, listening_ports=(80, 443)),
            cleanup=Cleanup(sockets_removed=2),
        )
    )

    assert lines == [
        ("asked by", "operator (through dashboard): hangs"),
        ("took", "840 ms, graceful, from 2026-03-01 14:02:11 UTC"),
        ("signals", "14:02:11.250  SIGTERM to 7, 8"),
        ("", "14:02:11.250  SIGKILL to 8"),
        ("processes", "7  SIGTERM  sh -c 'x y'"),
        ("freed", "1.0 MiB of memory, 6 open files, ports 80, 443"),
        ("cleaned up", "2 unix sockets"),
        ("proof", "cgroup, subreaper"),
        ("command", "c" * 32),
    ]
    assert words.receipt_headline(receipt()) == "Every process is verified gone"


def test_survivors_are_said_loudly_and_long_lists_are_cut() -> None:
    survivor = Survivor(pid=9, start_time=1, cmdline="dd", why="in uninterruptible sleep")
    many = tuple(ProcessEnd(pid=pid, start_time=1, cmdline="x", exit="SIGKILL") for pid in range(60))
    told = receipt(verified=False, verified_by=(), survivors=(survivor,), processes=many)

    lines = words.receipt_lines(told)

    assert words.receipt_headline(told).startswith("Not proven")
    assert ("STILL ALIVE", "9  dd: in uninterruptible sleep") in lines
    assert ("", "and 20 more, which the API tells") in lines
    assert ("proof", "none") in lines
