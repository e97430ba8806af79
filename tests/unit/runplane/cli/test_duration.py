from datetime import UTC, datetime, timedelta, timezone

import pytest

from runplane.cli.duration import parse_moment, show_age, show_ago, show_clock, show_duration

NOW = datetime(2026, 3, 1, 14, 30, 0, tzinfo=timezone(timedelta(hours=1)))


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-3, "0 ms"), (0, "0 ms"), (0.0314, "31 ms"), (1, "1 s"), (4.26, "4.3 s"), (42, "42s"), (60, "1m"),
        (252, "4m 12s"), (11_100, "3h 5m"), (11_130, "3h 5m"), (90_000, "1d 1h"), (86_400 * 3, "3d"),
    ],
)  # fmt: skip
def test_a_duration_has_two_units_at_most(seconds: float, shown: str) -> None:
    assert show_duration(seconds) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"), [(-1, "0s"), (0, "0s"), (59, "59s"), (252, "4m"), (90_000, "1d")]
)
def test_an_age_has_one_unit(seconds: float, shown: str) -> None:
    assert show_age(seconds) == shown


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-03-01T13:00:00Z", datetime(2026, 3, 1, 13, 0, tzinfo=UTC)),
        ("2026-03-01 13:00", datetime(2026, 3, 1, 13, 0, tzinfo=NOW.tzinfo)),
        ("14:02", NOW.replace(minute=2)),
        ("14:02:11", NOW.replace(minute=2, second=11)),
        ("15:00", NOW.replace(hour=15, minute=0) - timedelta(days=1)),
        ("20m", NOW - timedelta(minutes=20)),
        ("1h30m", NOW - timedelta(minutes=90)),
        ("now", NOW),
    ],
)
def test_a_moment_is_what_a_person_means(text: str, moment: datetime) -> None:
    assert parse_moment(text, NOW) == moment


@pytest.mark.parametrize("text", ["yesterday", "1042", "25:00", "20 minutes"])
def test_what_is_no_moment_is_told_how_to_write_one(text: str) -> None:
    with pytest.raises(ValueError, match=r"14:02.*20m"):
        parse_moment(text, NOW)


def test_another_day_is_named() -> None:
    moment = NOW - timedelta(days=2)
    assert show_clock(moment, NOW) == f"{moment.astimezone():%Y-%m-%d %H:%M:%S}"
    assert show_ago(NOW - timedelta(seconds=90), NOW).endswith("(1m 30s ago)")
