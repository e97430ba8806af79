"""Durations and sizes as people write them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runplane.contract.units import parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30),
        ("1h30m", 5400),
        ("250ms", 0.25),
        ("1.5h", 5400),
        ("2d", 172_800),
        (" 10m ", 600),
        ("5", 5),
        ("0.5", 0.5),
        (7, 7),
        (0.25, 0.25),
        (0, 0),
    ],
)
def test_a_duration_becomes_seconds(text: Any, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("2GiB", 2 * 2**30),
        ("512MB", 512 * 10**6),
        ("512 MB", 512 * 10**6),
        ("1kB", 1000),
        ("1.5KiB", 1536),
        ("0B", 0),
        ("8", 8),
        (7, 7),
        ("9007199254740993", 9_007_199_254_740_993),
        ("1TiB", 2**40),
    ],
)
def test_a_size_becomes_bytes(text: Any, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "value",
    [
        "soon",
        "",
        "s",
        "1 h",
        "1h 30m",
        "30 seconds",
        "-5s",
        "1e3",
        "٣s",
        "1s\x00",
        True,
        None,
        [1],
        {},
        "9" * 400,
    ],
)
def test_what_is_no_duration_is_refused_with_what_one_looks_like(value: Any) -> None:
    with pytest.raises(ValueError, match=r"is not a duration.*: write it like 30s"):
        parse_duration(value)


@pytest.mark.parametrize("value", ["367d", -1, float("nan"), float("inf"), 10**400, 1e300])
def test_a_duration_has_limits(value: Any) -> None:
    with pytest.raises(ValueError, match="between 0s and 366d"):
        parse_duration(value)


@pytest.mark.parametrize("value", ["much", "", "GB", "-1", "1PiB", "1gb", 1.5, True, None, "9" * 400 + "TiB"])
def test_what_is_no_size_is_refused_with_what_one_looks_like(value: Any) -> None:
    with pytest.raises(ValueError, match=r"is not a size.*: write it like 512MB or 2GiB"):
        parse_size(value)


@pytest.mark.parametrize("value", [-1, 2**60 + 1, 10**400, "99999999999TiB"])
def test_a_size_has_limits(value: Any) -> None:
    with pytest.raises(ValueError, match="between 0 and 1 EiB"):
        parse_size(value)


@given(st.text() | st.integers() | st.floats() | st.binary() | st.none())
def test_anything_else_is_refused_shortly_and_by_value_error_alone(value: Any) -> None:
    for read in (parse_duration, parse_size):
        refusal = ""
        try:
            assert read(value) >= 0
        except ValueError as error:
            refusal = str(error)
        assert len(refusal) < 200


@given(st.integers(0, 300), st.integers(0, 23), st.integers(0, 59), st.integers(0, 59), st.integers(0, 999))
def test_the_parts_of_a_duration_add_up(
    days: int, hours: int, minutes: int, seconds: int, millis: int
) -> None:
    text = f"{days}d{hours}h{minutes}m{seconds}s{millis}ms"

    expected = ((days * 24 + hours) * 60 + minutes) * 60 + seconds + millis / 1000
    assert parse_duration(text) == pytest.approx(expected)
