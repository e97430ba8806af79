from datetime import UTC, datetime, timedelta
from typing import Any

from rich.console import Console

from runplane.cli.receipt import receipt_page
from runplane.cli.run_page import run_page
from runplane.contract.run import Run

BEGAN = datetime(2026, 3, 1, 14, 2, 11, 123_000, tzinfo=UTC)


def signal(name: str, pid: int, seconds: float) -> dict[str, Any]:
    return {"signal": name, "pid": pid, "at": BEGAN + timedelta(seconds=seconds)}


def process(pid: int, ended: str, cmdline: str = "sleep 3600") -> dict[str, Any]:
    return {"pid": pid, "start_time": 1, "cmdline": cmdline, "exit": ended, "rss_bytes": 2**20}


def killed(**changes: Any) -> Run:
    receipt: dict[str, Any] = {
        "command_id": "c" * 32, "requested_by": "operator", "via": "mcp", "reason": "stuck since 02:40",
        "method": "graceful", "started_at": BEGAN, "ended_at": BEGAN + timedelta(seconds=10.1),
        "duration_ms": 10_100.0, "verified": True, "verified_by": ["cgroup", "subreaper"],
        "signals": [signal("SIGTERM", 4242, 0), signal("SIGKILL", 4243, 10), signal("SIGKILL", 4244, 10)],
        "processes": [process(4242, "SIGTERM", "python lina.py"), process(4243, "SIGKILL"), process(4244, "SIGKILL")],
        "freed": {"rss_bytes": 3 * 2**20, "open_files": 12, "listening_ports": [8080]},
    }  # fmt: skip
    return Run.model_validate(
        {
            "run_id": "run_0dcbc991c0d4", "workflow": "lina", "workflow_version": 3, "status": "killed",
            "created_at": BEGAN, "ended_at": BEGAN, "requested_by": "operator", "seq": 42,
            "kill_receipt": receipt | changes,
        }
    )  # fmt: skip


def shown(renderable: object, width: int = 80) -> list[str]:
    console = Console(width=width, force_terminal=False)
    with console.capture() as captured:
        console.print(renderable)
    return [line.rstrip() for line in captured.get().splitlines()]


def test_a_receipt_says_who_how_what_and_by_what_proof() -> None:
    text = "\n".join(shown(receipt_page(killed())))
    for said in (
        "run_0dcbc991c0d4 is killed: every process of it is gone",
        'operator (mcp), "stuck since 02:40"',
        "10s, graceful",
        "SIGTERM to 4242",
        "SIGKILL to 4243, 4244",
        "4242  SIGTERM, 1.0 MiB  python lina.py",
        "3.0 MiB of memory, 12 open files, port 8080",
        "cgroup, subreaper: no process is left",
    ):
        assert said in text


def test_it_stays_about_a_dozen_lines_however_large_the_tree_was() -> None:
    many = [process(pid, "SIGKILL") for pid in range(5000, 5400)]
    signals = [signal("SIGKILL", one["pid"], 1) for one in many]
    lines = shown(receipt_page(killed(processes=many, signals=signals)))
    assert len(lines) <= 15
    assert "and 394 more" in "\n".join(lines)
    assert all(len(line) <= 80 for line in lines)


def test_what_was_cleaned_up_is_counted() -> None:
    memory = {"shared_memory_removed": 1, "shared_memory_bytes_removed": 3 * 2**20}
    cleanup: dict[str, Any] = {"sockets_removed": 2, **memory}
    assert "  cleaned up   2 unix sockets, 1 shared-memory segment (3.0 MiB)" in shown(
        receipt_page(killed(cleanup=cleanup))
    )
    cleanup = {"workspace": "removed: /w/1.workspace", "temp_bytes_removed": 2048, "sockets_removed": 1}
    assert "  cleaned up   removed: /w/1.workspace, 2.0 KiB removed, 1 unix socket" in shown(
        receipt_page(killed(cleanup=cleanup))
    )
    assert not [line for line in shown(receipt_page(killed())) if "cleaned up" in line]


def test_survivors_are_named_with_the_reason_and_nothing_claims_that_all_are_gone() -> None:
    survivor = {"pid": 4243, "start_time": 1, "cmdline": "dd", "why": "in uninterruptible sleep"}
    text = "\n".join(shown(receipt_page(killed(survivors=[survivor], verified=False, verified_by=[]))))
    assert "not all of its processes are gone" in text
    assert "4243  dd: in uninterruptible sleep" in text
    assert "nothing: processes are left" in text


def test_what_a_process_called_itself_is_text() -> None:
    evil = killed(processes=[process(1, "SIGTERM", "[red]x\x1b]0;owned\x07\x1b[2J\nrm")])
    assert "[red]x rm" in "\n".join(shown(receipt_page(evil)))


def test_without_a_receipt_there_is_a_sentence() -> None:
    run = killed().model_copy(update={"kill_receipt": None, "status": "canceled"})
    assert shown(receipt_page(run)) == ["run_0dcbc991c0d4 is canceled before any process of it existed"]


def test_a_run_in_full_fits_the_terminal_and_says_what_to_type_next() -> None:
    run = killed().model_copy(update={"params": {"epic": "x" * 300, "a": [1]}})
    lines = shown(run_page(run))
    assert all(len(line) <= 80 for line in lines)
    text = "\n".join(lines)
    assert "lina (version 3)" in text
    assert "runplane restart run_0dcbc991c0d4" in text
