from datetime import UTC, datetime
from typing import Any

import pytest

from runplane.cli.record_line import detail_of, draw_record
from runplane.client import Record
from runplane.contract.envelope import TYPES

RUN_ID = "run_0dcbc991c0d4"


def record(kind: str, data: dict[str, Any], subject: str = f"rp.evt.host.h1.{RUN_ID}") -> Record:
    return Record.model_validate(
        {
            "seq": 42, "id": "a" * 32, "type": kind, "subject": subject, "time": datetime(2026, 3, 1, tzinfo=UTC),
            "actor": {"principal": "operator", "surface": "mcp"}, "data": data,
        }
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "data", "detail"),
    [
        ("KillRun", {"run_id": RUN_ID, "reason": "stuck", "force": True}, 'force, "stuck"'),
        ("StartRun", {"spec": {"workflow": "lina", "params": {"epic": "A"}}}, "lina epic=A"),
        ("ProgressReported", {"done": 3.0, "total": 10.0, "unit": "issues", "message": "m"}, "3/10 issues m"),
        ("ProcessExited", {"exit": {"code": 3, "signal": None}}, "exit 3"),
        ("ProcessExited", {"exit": {"code": None, "signal": "SIGKILL"}}, "SIGKILL"),
        ("RunFailed", {"failure": {"kind": "exit", "message": "exit 3"}}, "exit: exit 3"),
        ("SomethingNew", {"run_id": RUN_ID, "number": 3, "text": "x", "nested": {}}, "number=3 text=x"),
        ("RunKilled", {}, ""),
        ("StartRun", {"spec": None}, ""),
    ],
)
def test_the_detail_is_what_matters(kind: str, data: dict[str, Any], detail: str) -> None:
    assert detail_of(record(kind, data)) == detail


@pytest.mark.parametrize("kind", sorted(TYPES))
def test_no_record_of_any_type_can_break_the_list(kind: str) -> None:
    for data in ({}, {"receipt": 1, "condition": "x", "failure": [], "survivors": 3, "main": None}):
        assert "\n" not in detail_of(record(kind, data))


def test_one_record_is_one_line_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    draw_record(record("KillRun", {"reason": "a\nb\x1b[2J" + "x" * 500}))
    (line,) = capsys.readouterr().out.splitlines()
    assert line.split()[0] == "42"
    assert f"KillRun             {RUN_ID}  operator (mcp)  " in line
    assert "\x1b" not in line


def test_what_belongs_to_no_run_names_its_host_or_workflow(capsys: pytest.CaptureFixture[str]) -> None:
    draw_record(record("HostLeft", {"host": "h1"}, "rp.evt.host.h1.host"))
    draw_record(record("WorkflowDeleted", {"name": "lina"}, "rp.evt.plane.registry.lina"))
    first, second = capsys.readouterr().out.splitlines()
    assert "  h1  " in first
    assert "  lina  " in second
