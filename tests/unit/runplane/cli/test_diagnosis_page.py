"""A diagnosis at a terminal: the sentence first, own calls before library calls, and nothing that acts."""

from datetime import UTC, datetime
from typing import Any

from runplane.cli.diagnosis_page import diagnosis_page
from runplane.contract.diagnosis import (
    Diagnosis,
    Frame,
    SeenFile,
    SeenProcess,
    SeenSocket,
    SeenStep,
    SeenThread,
)
from runplane.contract.run import Condition, Resources, Status

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def frame(function: str, *, own: bool) -> Frame:
    return Frame(function=function, file=f"/srv/{'lina' if own else 'lib/socket'}.py", line=7, own=own)


def process(pid: int, parent: int, *threads: SeenThread, **more: Any) -> SeenProcess:
    known = {"name": "python", "cmdline": f"python {pid}.py", "state": "S", "state_name": "sleeping"}
    return SeenProcess(pid=pid, parent_pid=parent, threads=threads, **{**known, **more})


def thread(tid: int, *stack: Frame, **more: Any) -> SeenThread:
    return SeenThread(tid=tid, name=f"t{tid}", state="S", waits_for="pipe_read", stack=stack, **more)


def shown(**changes: Any) -> str:
    known: dict[str, Any] = {
        "run_id": "run_00000000000a", "workflow": "lina", "status": Status.RUNNING, "host": "alpha", "taken_at": NOON,
        "sentence": "LINA waits.", "duration_ms": 25.0,
    }  # fmt: skip
    return diagnosis_page(Diagnosis(**{**known, **changes})).plain


def test_the_sentence_comes_first_and_what_to_type_last() -> None:
    lines = shown().splitlines()
    assert lines[0] == "LINA waits."
    assert lines[1].startswith("run_00000000000a, running on alpha; seen at ")
    assert lines[-1] == "next  runplane logs run_00000000000a --follow"
    stuck = Condition(type="stuck", verdict="idle", since=NOON, detail="it sleeps")
    assert shown(condition=stuck).splitlines()[-1].startswith("next  runplane kill run_00000000000a")
    assert shown(status=Status.FAILED).splitlines()[-1].startswith("next  runplane logs")


def test_processes_are_indented_by_parent_and_own_calls_are_marked() -> None:
    library = [frame(f"lib{number}", own=False) for number in range(5)]
    main = thread(
        10, *library, frame("get_issues", own=True), frame("after", own=False), on="pipe:[7]", call="read"
    )
    text = shown(processes=(process(10, 1, main, main=True), process(11, 10), process(12, 11)))
    lines = text.splitlines()
    assert "  10  python 10.py  [sleeping, 0 B, 0 ms CPU]" in lines
    assert "    11  python 11.py  [sleeping, 0 B, 0 ms CPU]" in lines
    assert "      12  python 12.py  [sleeping, 0 B, 0 ms CPU]" in lines
    assert "      pipe read on pipe:[7] (read)" in lines
    assert "        > get_issues  /srv/lina.py:7" in lines
    assert "          lib0  socket.py:7" in lines
    assert "          … 3 calls in libraries" in lines
    assert "lib4" not in text


def test_processes_that_are_one_anothers_parents_end() -> None:
    assert "  10  python 10.py" in shown(processes=(process(10, 11), process(11, 10)))


def test_sockets_files_steps_samples_output_and_what_was_not_seen() -> None:
    socket = SeenSocket(
        fd=4, protocol="tcp", state="ESTABLISHED", local="127.0.0.1:5", peer="127.0.0.1:8443", received_at=NOON,
        send_queue_bytes=12,
    )  # fmt: skip
    files = (
        SeenFile(fd=1, target="/out"),
        SeenFile(fd=5, target="/srv/epic.json"),
        SeenFile(fd=6, target="pipe:[1]"),
    )
    text = shown(
        processes=(process(10, 1, sockets=(socket, SeenSocket(fd=9, protocol="other")), files=files),),
        steps=(SeenStep(name="plan", index=1, state="completed", at=NOON, duration_seconds=3.0),),
        samples=(Resources(cpu_percent=1.5, rss_bytes=2048, processes=1, threads=2, sampled_at=NOON),),
        stdout=("last line",),
        stderr=("a warning",),
        unseen=("process 9: its stack was not read",),
    )
    assert "socket 4: tcp 127.0.0.1:5 -> 127.0.0.1:8443 ESTABLISHED, last received" in text
    assert "12 B not taken" in text
    assert "files: 5 /srv/epic.json\n" in text
    assert "plan  completed after 3 s" in text
    assert "1.5 % CPU, 2.0 KiB, 1 process, 2 threads" in text
    for line in ("  last line", "  a warning", "  process 9: its stack was not read"):
        assert line in text.splitlines()


def test_what_a_run_chose_is_text_alone() -> None:
    text = shown(sentence="\x1b[31mred\x1b[0m\nnext", stdout=("a\x1b]0;title\x07b", "c\u202ed"))
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert text.splitlines()[0] == "red next"
