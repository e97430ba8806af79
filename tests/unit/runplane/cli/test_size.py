import pytest

from runplane.cli.size import count, show_short_size
from runplane.contract.units import show_size


@pytest.mark.parametrize(
    ("size", "shown", "short"),
    [
        (0, "0 B", "0B"), (512, "512 B", "512B"), (1536, "1.5 KiB", "1.5K"), (47_185_920, "45 MiB", "45M"),
        (2**31, "2.0 GiB", "2.0G"), (2**50, "1024 TiB", "1024T"),
    ],
)  # fmt: skip
def test_sizes(size: int, shown: str, short: str) -> None:
    assert show_size(size) == shown
    assert show_short_size(size) == short


def test_counts() -> None:
    assert [count(1, "run"), count(2, "run"), count(0, "process", "processes")] == [
        "1 run",
        "2 runs",
        "0 processes",
    ]
