"""The sentence on top of a diagnosis, from what was seen."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from agent.watch.explanation import Stacks, explain
from agent.watch.repetition import Repeat
from agent.watch.sockets import Connection
from agent.watch.verdict import OpenStep, Sight
from agent.watch.waits import Kind, ThreadWait
from runplane.contract.diagnosis import Frame

NOON = datetime(2026, 3, 1, 14, 13, 11, tzinfo=UTC)
API = Connection("ESTABLISHED", "127.0.0.1:50000", "127.0.0.1:8443", quiet_seconds=660.0)


def sight(*waits: ThreadWait, **changes: Any) -> Sight:
    known: dict[str, Any] = {
        "now": NOON, "quiet": 660.0, "busy": 0.0, "cpu_percent": 0.0, "main": 10, "parents": {10: 1},
        "names": {10: "python"},
    }  # fmt: skip
    return Sight(**{**known, **changes}, waits=waits)


def thread(kind: Kind, *, pid: int = 10, tid: int | None = None, **changes: Any) -> ThreadWait:
    return ThreadWait(pid=pid, tid=tid or pid, name="python", state="S", kind=kind, **changes)


def call(function: str, line: int, *, file: str = "/srv/lina.py", own: bool = True) -> Frame:
    return Frame(function=function, file=file, line=line, own=own)


def said(seen: Sight, verdict: str | None, stacks: Stacks | None = None, **names: str) -> str:
    return explain("LINA", seen, verdict, stacks or {}, {int(tid[1:]): name for tid, name in names.items()})


def test_a_reply_that_does_not_come() -> None:
    stack = (
        call("recv", 706, file="/usr/lib/python3.11/socket.py", own=False),
        call("get_issues", 88),
        call("<module>", 120),
    )
    assert said(sight(thread("reply", connection=API)), "awaiting_api", {10: stack}) == (
        "LINA has been waiting 11 min for a reply from 127.0.0.1:8443 (ESTABLISHED, nothing received since "
        "14:02:11 UTC), in `lina.get_issues`, lina.py:88."
    )


def test_a_method_and_a_module_are_named_as_they_are() -> None:
    seen = sight(thread("sleep"))
    assert said(seen, "idle", {10: (call("Linear.fetch", 5),)}).endswith(
        "sleeping for 11 min, in `Linear.fetch`, lina.py:5."
    )
    assert said(seen, "idle", {10: (call("<module>", 7),)}).endswith("in `lina`, lina.py:7.")


def test_only_library_calls_are_better_than_none() -> None:
    stack = (call("wait", 3, file="/usr/lib/python3.11/threading.py", own=False),)
    assert said(sight(thread("lock")), "idle", {10: stack}).endswith("in `threading.wait`, threading.py:3.")


def test_a_deadlock_names_the_threads_and_their_lines() -> None:
    seen = sight(thread("lock"), thread("lock", tid=11), thread("lock", tid=12))
    stacks = {10: (call("<module>", 24),), 11: (call("take", 15),), 12: (call("give", 19),)}
    assert said(seen, "idle", stacks, t11="mover-1", t12="mover-2") == (
        "LINA has been waiting 11 min for a lock of its own that nobody gives back, in `lina`, lina.py:24; thread "
        "mover-1 waits for one, in `lina.take`, lina.py:15; thread mover-2 waits for one, in `lina.give`, lina.py:19."
    )


def test_another_process_of_the_tree() -> None:
    seen = sight(
        thread("child"), thread("input", pid=20), parents={10: 1, 20: 10}, names={10: "python", 20: "git"}
    )
    assert said(seen, "waiting_for_input") == (
        "LINA: its process git (pid 20) has been waiting 11 min for input that nobody gives it (a read "
        "on standard input)."
    )


def test_a_child_that_does_nothing_is_told_with_what_it_does() -> None:
    seen = sight(
        thread("child"), thread("sleep", pid=20), parents={10: 1, 20: 10}, names={10: "python", 20: "sleep"}
    )
    assert said(seen, "waiting_on_child") == (
        "LINA has been waiting 11 min for a child; its process sleep (pid 20) sleeps."
    )


def test_spinning_looping_overrun_stopped_finished() -> None:
    busy = sight(thread("lock"), thread("running", tid=11), busy=600.0, cpu_percent=99.6)
    assert said(busy, "spinning", {11: (call("crunch", 3),)}) == (
        "LINA has been computing at 100 % of a core and silent for 11 min, in `lina.crunch`, lina.py:3."
    )
    repeat = Repeat(period=7, cycles=263, since=0.0, is_exact=True, sample="undo the edit")
    assert said(sight(thread("sleep"), repeat=repeat, repeating=90.0), "looping") == (
        "LINA has been printing the same 7 lines for 90 s, 263 times so far (“undo the edit”)."
    )
    late = sight(thread("reply", connection=API), step=OpenStep(name="fetch", age=400.0))
    assert said(late, "step_overrun").startswith(
        "LINA has been in step “fetch” for 7 min; right now it waits for a reply from"
    )
    assert said(sight(thread("stopped"), stopped=60.0), "stopped", {10: (call("work", 9),)}) == (
        "LINA has stood still for 60 s: every process of it was stopped by a signal, in `lina.work`, lina.py:9."
    )
    done = sight(thread("lock"), finished="its last line is “Done.”")
    assert said(done, "finished_but_alive").startswith(
        "LINA seems to be done (its last line is “Done.”), but its process lives on, silent for "
        "11 min; it waits for a lock"
    )


def test_one_that_is_not_stuck() -> None:
    assert said(
        sight(thread("running"), quiet=0.2, busy=30.0, cpu_percent=97.0), None, {10: (call("crunch", 3),)}
    ) == (
        "LINA is at work: it computes at 97 % of a core, in `lina.crunch`, lina.py:3 (last heard of just now)."
    )
    waiting = sight(thread("reply", connection=API), quiet=4.0, step=OpenStep(name="plan", age=14.0))
    assert said(waiting, None) == (
        "LINA has been waiting 4 s for a reply from 127.0.0.1:8443 (ESTABLISHED, nothing received since "
        "14:02:11 UTC); it does not count as stuck yet, step “plan” for 14 s."
    )
    assert said(replace(waiting, quiet=0.5), None).endswith("(last heard of just now, step “plan” for 14 s).")
    assert said(sight(thread("sleep"), working="it receives data", quiet=4.0), None).startswith(
        "LINA is at work: it receives"
    )
    assert said(sight(), None) == "LINA is not stuck as far as can be seen (last heard of 11 min ago)."


def test_nothing_to_be_seen() -> None:
    assert (
        said(sight(), "idle") == "LINA has said nothing for 11 min, and what it waits for is not to be seen."
    )
