"""The course of what runs used: fine where it is new, coarse where it is old, bounded, and there after a restart."""

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from control_plane import history as module
from control_plane.history import TIERS, History
from runplane.contract.run import Resources

RUN, OTHER = "run_00000000000a", "run_00000000000b"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def sample(second: float, cpu: float = 10.0, rss: int = 100) -> Resources:
    return Resources(cpu_percent=cpu, rss_bytes=rss, pss_bytes=7, sampled_at=NOON + timedelta(seconds=second))


@pytest.fixture
def kept(tmp_path: Path) -> History:
    return History(tmp_path / "history.sqlite")


def test_a_point_has_the_mean_and_the_greatest(kept: History) -> None:
    for second, cpu in ((0, 10.0), (2, 30.0), (4, 20.0)):
        kept.add(RUN, sample(second, cpu, rss=int(cpu)))
    [point] = kept.points(RUN)
    assert (point.cpu_percent, point.cpu_percent_max, point.rss_bytes, point.rss_bytes_max) == (
        20.0,
        30.0,
        20,
        30,
    )
    assert (point.resolution_seconds, point.sampled_at, point.pss_bytes) == (10, NOON, 7)
    assert kept.points(OTHER) == []


def test_it_is_there_after_a_restart_and_after_the_end_of_the_run(tmp_path: Path, kept: History) -> None:
    for second in range(0, 100, 2):
        kept.add(RUN, sample(second))
    kept.flush(NOON)
    kept.end(RUN)
    kept.flush(NOON)
    before = kept.points(RUN)
    kept.close()
    again = History(tmp_path / "history.sqlite")
    assert again.points(RUN) == before
    assert [point.sampled_at for point in before] == [
        NOON + timedelta(seconds=second) for second in range(0, 100, 10)
    ]
    assert again.points(RUN, NOON + timedelta(seconds=75)) == before[8:]
    again.close()


def test_the_greatest_of_a_stretch_stays_when_it_is_begun_anew_within_it(tmp_path: Path) -> None:
    for second, cpu in ((0, 90.0), (4, 10.0)):
        history = History(tmp_path / "history.sqlite")
        history.add(RUN, sample(second, cpu, rss=int(cpu)))
        history.end(RUN)
        history.flush(NOON)
        history.close()
    again = History(tmp_path / "history.sqlite")
    [point] = again.points(RUN)
    assert (point.cpu_percent_max, point.rss_bytes_max, point.cpu_percent) == (90.0, 90, 10.0)
    again.close()


def test_what_is_old_is_coarse_and_nothing_is_told_twice(kept: History) -> None:
    for second in range(0, 3 * 3600, 5):
        kept.add(RUN, sample(second))
        if second % 600 == 0:
            kept._flushes = 0  # let go of what is too old with each
            kept.flush(NOON + timedelta(seconds=second))
    points = kept.points(RUN)
    moments = [point.sampled_at for point in points]
    assert moments == sorted(moments)
    assert [point.resolution_seconds for point in points] == sorted(
        (point.resolution_seconds for point in points), reverse=True
    )
    ends = [point.sampled_at + timedelta(seconds=point.resolution_seconds) for point in points]
    assert all(end <= begin for end, begin in zip(ends, moments[1:], strict=False))
    assert {point.resolution_seconds for point in points} >= {10, 60}
    fine = [point for point in points if point.resolution_seconds == 10]
    assert len(fine) <= TIERS[10].total_seconds() / 10 + 61


def test_it_is_bounded_in_size(kept: History, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_POINTS", 100)
    for second in range(0, 5000, 10):
        kept.add(RUN, sample(second))
    kept.flush(NOON)
    kept.add(RUN, sample(5000))
    kept.add(RUN, sample(5100))
    kept._flushes = 0
    kept.flush(NOON)
    assert len(kept.points(RUN)) <= 110


def test_a_damaged_file_is_set_aside_and_a_full_disk_makes_a_gap(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "history.sqlite"
    path.write_bytes(b"this is no database at all" * 100)
    kept = History(path)
    assert path.with_name("history.sqlite.set-aside").exists()
    kept.add(RUN, sample(0))
    kept.add(RUN, sample(700))
    kept._connection.close()
    kept._connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    kept.flush(NOON)
    kept.flush(NOON)
    assert caplog.text.count("cannot be stored") == 1
    assert kept.points(RUN)
