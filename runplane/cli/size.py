"""Sizes and counts as people read them, beside what the contract says of sizes."""

from runplane.contract.units import show_size


def show_short_size(size: float) -> str:
    """For a column: ``512B``, ``1.5M``, ``46M``."""
    return show_size(size).replace(" ", "").replace("iB", "")


def count(number: int, one: str, many: str = "") -> str:
    """``1 process``, ``3 processes``."""
    return f"{number} {one if number == 1 else many or one + 's'}"
