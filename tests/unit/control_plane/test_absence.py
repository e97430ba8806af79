"""Why there is nothing to look at, in a sentence."""

from datetime import UTC, datetime
from typing import Any

import pytest

from control_plane.absence import sentence_of_ended, sentence_of_pending
from control_plane.read_model import HostView
from runplane.contract.run import Attempt, Exit, Failure, Override, Run, Status

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def run(**changes: Any) -> Run:
    known: dict[str, Any] = {
        "run_id": "run_00000000000a", "workflow": "lina", "workflow_version": 1, "status": Status.PENDING,
        "created_at": NOON,
        "requested_by": "ada", "seq": 1, "pool": "default",
    }  # fmt: skip
    return Run.model_validate(known | changes)


def host(name: str = "alpha", **changes: Any) -> HostView:
    known: dict[str, Any] = {
        "host_id": name, "status": "online", "last_seen": NOON, "agent_id": "a", "boot_id": "b",
        "pools": ("default",),
        "slots": 2, "running": 0, "version": "0", "platform": "linux", "cpus": 2, "memory_bytes": 1,
        "mechanism": "cgroup",
        "joined_at": NOON, "seq": 1,
    }  # fmt: skip
    return HostView.model_validate(known | changes)


@pytest.mark.parametrize(
    ("waiting", "hosts", "says"),
    [
        ({"pool": "gpu"}, [host()], "waits for a host of pool gpu, and no host serves it: start an agent"),
        (
            {"host": "beta"},
            [host()],
            "waits for host beta, which has never joined: start an agent there (runplane agent",
        ),
        ({}, [host(status="absent")], "none takes runs now: alpha (absent)"),
        (
            {"host": "alpha"},
            [host(status="draining")],
            "waits for host alpha, and none takes runs now: alpha (draining)",
        ),
        ({}, [host(running=2), host("beta", status="absent")], "all are full: alpha (2 of 2 slots taken)"),
        ({}, [host(running=1)], "there is 1 slot free"),
    ],
)
def test_pending(waiting: dict[str, Any], hosts: list[HostView], says: str) -> None:
    said = sentence_of_pending(run(**waiting), hosts)
    assert said.startswith("lina waits for ")
    assert says in said
    assert said.endswith(".")


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"status": "completed", "exit": Exit(code=0)}, "completed at 2026-03-01 12:00:00 UTC, exit code 0."),
        (
            {"status": "failed", "failure": Failure(kind="exit_code", message="it ended with 3.")},
            "exit_code: it ended with 3.",
        ),
        (
            {
                "status": "failed",
                "override": Override(outcome="failed", by="ada", via="mcp", at=NOON, observed=""),
            },
            "failed at 2026-03-01 12:00:00 UTC, declared by ada (mcp).",
        ),
        ({"status": "failed", "exit": Exit(signal="SIGSEGV")}, ", by SIGSEGV."),
        ({"status": "killed", "restarted_as": "run_00000000000b"}, "It was restarted as run_00000000000b."),
    ],
)
def test_ended(how: dict[str, Any], says: str) -> None:
    assert says in sentence_of_ended(run(ended_at=NOON, **how))


def test_ended_with_the_proof() -> None:
    attempt = Attempt(attempt=1, host="alpha", claimed_at=NOON, verified_by=("cgroup",))
    said = sentence_of_ended(run(status="killed", ended_at=NOON, attempts=(attempt,)))
    assert "no process of it is left (shown by cgroup)." in said
