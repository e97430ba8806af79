"""Progress and steps out of what a run prints: lines that are none are left alone, and no line costs much."""

import json
import time
from pathlib import Path

import pytest

from agent.watch.output_reports import MOST_AT_ONCE_BYTES, MOST_CHARACTERS, OutputReports, output_reports
from agent.watch.reports import Report
from runplane.contract.events import ProgressReported, ReportSetAside, StepCompleted, StepStarted
from runplane.contract.workflow import ProgressPattern, WorkflowDefinition

COUNT = r"(?P<done>[\d,]+)/(?P<total>\d+)(?: (?P<message>.*))?"


def read(
    path: Path, text: str | bytes, *, is_json: bool = False, pattern: str | None = COUNT
) -> list[Report]:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    asked = ProgressPattern(pattern=pattern) if pattern is not None else None
    return OutputReports(path, is_json=is_json, pattern=asked).read(last=True)


def test_a_line_that_fits_is_progress_and_the_last_one_counts(tmp_path: Path) -> None:
    reports = read(tmp_path / "o", "begin\n1/40 first\nnoise\n1,002/4000 second one\n\xff\n")
    assert [report.fact for report in reports] == [
        ProgressReported(done=1002.0, total=4000.0, unit=None, message="second one")
    ]
    assert reports[0].key < 0


def test_a_percentage_is_of_a_hundred(tmp_path: Path) -> None:
    [report] = read(tmp_path / "o", "\x1b[32m 42.5% |####|\x1b[0m\n", pattern=r"(?P<percent>[\d.]+)%")
    assert report.fact == ProgressReported(done=42.5, total=100.0, unit="%")


@pytest.mark.parametrize("line", ["", "no figure", "x/y", "..", "1e999/3", "nan/3"])
def test_what_is_no_figure_is_output(tmp_path: Path, line: str) -> None:
    assert read(tmp_path / "o", line + "\n", pattern=r"(?P<done>\S+)/(?P<total>\S*)|(?P<percent>\.\.)") == []


def test_lines_of_json_count_as_reports_and_others_are_output(tmp_path: Path) -> None:
    lines = [
        {"progress": {"done": 1, "total": 3}},
        {"step": "plan", "state": "started", "inputs": {"a": 1}},
        {"level": "info", "message": "a log line of its own"},
        {"step": "plan", "state": "of mind"},
        {"step": "plan", "state": "completed", "result": 7},
        {"progress": {"done": 2, "total": 3, "message": "x"}},
    ]
    text = "plain\n" + "".join(json.dumps(line) + "\n" for line in lines) + '{"progress": torn\n[1]\n'
    facts = [report.fact for report in read(tmp_path / "o", text, is_json=True, pattern=None)]
    assert facts == [
        StepStarted(name="plan", index=0, inputs={"a": 1}),
        StepCompleted(name="plan", index=0, result=7),
        ProgressReported(done=2.0, total=3.0, message="x"),
    ]


def test_reading_again_makes_the_same_facts(tmp_path: Path) -> None:
    path = tmp_path / "o"
    first = read(path, "1/3\n2/3\n")
    assert first == read(path, "1/3\n2/3\n")
    reader = OutputReports(path, is_json=False, pattern=ProgressPattern(pattern=COUNT))
    path.write_bytes(b"1/3\n2/")
    assert [report.fact for report in reader.read()] == [ProgressReported(done=1.0, total=3.0)]
    path.write_bytes(b"1/3\n2/3\n")
    assert [report.fact for report in reader.read()] == [ProgressReported(done=2.0, total=3.0)]


def test_a_pattern_that_takes_for_ever_is_given_up_and_said(tmp_path: Path) -> None:
    begun = time.monotonic()
    lines = ("a" * (MOST_CHARACTERS - 10) + "x1\n") * 50
    reports = read(tmp_path / "o", lines, pattern=r"(.*)(.*)(.*)(.*)(?P<done>\d)x")
    assert time.monotonic() - begun < 5
    [report] = reports
    assert isinstance(report.fact, ReportSetAside)
    assert "given up for this attempt" in report.fact.why


def test_of_a_burst_at_the_end_only_the_last_of_it_is_looked_through(tmp_path: Path) -> None:
    path = tmp_path / "o"
    path.write_bytes(b"1/9\n" + b"x" * 99 + (b"\n" + b"x" * 99) * (MOST_AT_ONCE_BYTES // 100) + b"\n8/9\n")
    reader = OutputReports(path, is_json=False, pattern=ProgressPattern(pattern=COUNT))
    progress, aside = (report.fact for report in reader.read(last=True))
    assert progress == ProgressReported(done=8.0, total=9.0)
    assert isinstance(aside, ReportSetAside)
    assert f"{path.stat().st_size - MOST_AT_ONCE_BYTES} bytes came so late" in aside.why


def test_much_output_is_read_in_parts_and_a_long_line_is_nothing(tmp_path: Path) -> None:
    path = tmp_path / "o"
    path.write_bytes(b"7/9\n" + b"x" * (MOST_AT_ONCE_BYTES + 2**21) + b"\n8/9\n")
    reader = OutputReports(path, is_json=False, pattern=ProgressPattern(pattern=COUNT))
    facts = [report.fact for report in reader.read()]
    assert reader.has_more
    while reader.has_more:
        facts += [report.fact for report in reader.read()]
    assert facts == [ProgressReported(done=7.0, total=9.0), ProgressReported(done=8.0, total=9.0)]


def test_only_who_asks_for_it_has_their_output_read(tmp_path: Path) -> None:
    assert output_reports(tmp_path, "plain", None) is None
    assert output_reports(tmp_path, "jsonl", None) is not None
    assert output_reports(tmp_path, "plain", ProgressPattern(pattern=COUNT)) is not None


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("(", "is no regular expression"),
        ("[0-9]+", "finds no figure: name a group done or percent"),
        ("(?P<done>1)(?P<todo>2)", "names the group 'todo': there are done, percent"),
    ],
)
def test_a_pattern_that_cannot_be_is_named(pattern: str, says: str) -> None:
    with pytest.raises(ValueError, match=r"progress\.pattern") as refused:
        WorkflowDefinition.model_validate({"name": "w", "command": ["x"], "progress": {"pattern": pattern}})
    assert says in str(refused.value)
