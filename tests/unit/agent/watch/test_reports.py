"""Reports: whatever a workflow writes becomes facts or is set aside, with bounded memory."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.watch.reports import LONGEST_LINE_BYTES, ReportFile, coalesced
from runplane.contract.events import (
    ProgressReported,
    ReportSetAside,
    StepCompleted,
    StepFailed,
    StepStarted,
    VariablesReported,
)


def write(path: Path, *lines: object) -> None:
    with path.open("ab") as file:
        for line in lines:
            file.write(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "reports.jsonl"


def test_only_the_last_progress_of_a_stretch_is_told(file: Path) -> None:
    write(file, *({"progress": {"done": done, "total": 3}} for done in (1, 2, 3)))
    reports = ReportFile(file).read()
    assert [report.fact for report in reports] == [ProgressReported(done=3, total=3)]


def test_steps_are_told_each_with_their_time(file: Path) -> None:
    write(
        file,
        {"step": "plan", "state": "started", "inputs": {"n": 1}, "t": 10.0},
        {"step": "plan", "state": "completed", "result": [1], "t": 12.5},
        {"step": "plan", "state": "started", "t": 13.0},
        {"step": "plan", "state": "failed", "error": "ValueError: no", "t": 14.0},
    )
    facts = [report.fact for report in ReportFile(file).read()]
    assert facts == [
        StepStarted(name="plan", index=0, inputs={"n": 1}),
        StepCompleted(name="plan", index=0, result=[1], duration_seconds=2.5),
        StepStarted(name="plan", index=1),
        StepFailed(name="plan", index=1, error="ValueError: no", duration_seconds=1.0),
    ]


def test_a_line_still_being_written_is_waited_for(file: Path) -> None:
    whole = json.dumps({"progress": {"done": 1}}).encode() + b"\n"
    write(file, whole[:10])
    reports = ReportFile(file)
    assert reports.read() == []
    write(file, whole[10:])
    assert [report.fact for report in reports.read()] == [ProgressReported(done=1)]


def test_bad_lines_are_counted_in_one_fact(file: Path) -> None:
    write(file, b"{torn\n", b"[1]\n", b"\xff\xfe\n", {"step": "x", "state": "odd"}, {"progress": {"done": 1}})
    facts = [report.fact for report in ReportFile(file).read()]
    assert facts[0] == ProgressReported(done=1)
    assert isinstance(facts[1], ReportSetAside)
    assert facts[1].count == 4


def test_what_was_coalesced_before_is_coalesced_again(file: Path) -> None:
    write(file, b"{torn\n", b"[1]\n", {"progress": {"done": 1}})
    reports = ReportFile(file)
    first = reports.read()
    write(file, b"[2]\n", {"progress": {"done": 2}}, {"variables": {"a": 1}}, {"variables": {"a": 2}})
    facts = [report.fact for report in coalesced([*first, *reports.read()])]
    assert facts[:2] == [ProgressReported(done=2), VariablesReported(values={"a": 2})]
    assert isinstance(facts[2], ReportSetAside)
    assert facts[2].count == 3


def test_a_line_without_end_is_set_aside_once_and_memory_stays_bounded(file: Path) -> None:
    write(file, b"x" * (3 * LONGEST_LINE_BYTES))
    reports = ReportFile(file)
    assert len(reports.read()) == 1
    assert len(reports._rest) <= LONGEST_LINE_BYTES
    write(file, b"x" * LONGEST_LINE_BYTES + b"\n", {"progress": {"done": 2}})
    assert [report.fact for report in reports.read()] == [ProgressReported(done=2)]


def test_reading_again_gives_the_same_keys(file: Path) -> None:
    write(
        file,
        {"step": "a", "state": "started"},
        {"step": "a", "state": "completed"},
        {"progress": {"done": 1}},
    )
    first, second = ReportFile(file).read(), ReportFile(file).read()
    assert [report.key for report in first] == [report.key for report in second]


def test_a_missing_file_has_nothing_to_say(tmp_path: Path) -> None:
    assert ReportFile(tmp_path / "absent").read() == []


@given(content=st.binary(max_size=2000), cuts=st.lists(st.integers(0, 2000), max_size=5))
def test_no_bytes_whatever_raise(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, cuts: list[int]
) -> None:
    file = tmp_path_factory.mktemp("reports") / "reports.jsonl"
    reports = ReportFile(file)
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(content)], strict=True):
        write(file, content[start:end])
        reports.read()
    reports.read(last=True)
