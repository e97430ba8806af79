"""Sizes and counts as people read them."""

_STEP = 1024
_UNITS = ("KiB", "MiB", "GiB", "TiB")
_TENTHS_BELOW = 10


def show_size(size: float) -> str:
    """``512 B``, ``1.5 MiB``, ``46 MiB``."""
    if size < _STEP:
        return f"{size:g} B"
    value, unit = size / _STEP, _UNITS[0]
    for larger in _UNITS[1:]:
        if value < _STEP:
            break
        value, unit = value / _STEP, larger
    return f"{value:.1f} {unit}" if value < _TENTHS_BELOW else f"{value:.0f} {unit}"


def show_short_size(size: float) -> str:
    """For a column: ``512B``, ``1.5M``, ``46M``."""
    return show_size(size).replace(" ", "").replace("iB", "")


def count(number: int, one: str, many: str = "") -> str:
    """``1 process``, ``3 processes``."""
    return f"{number} {one if number == 1 else many or one + 's'}"
