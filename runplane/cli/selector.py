"""``--selector workflow=W,status=S,host=H,stuck=true``: which open runs a bulk order is about."""

from runplane.cli.problem import Exit, Problem
from runplane.contract.run import OPEN

FIELDS = ("workflow", "status", "host", "stuck")
_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def parse_selector(text: str) -> dict[str, str | bool]:
    """The selector as the API takes it; a ``Problem`` names the part that cannot be used."""
    selector: dict[str, str | bool] = {}
    for part in text.split(","):
        name, is_given, value = (piece.strip() for piece in part.partition("="))
        if name not in FIELDS or not is_given or not value:
            raise _refused(f"{part.strip()!r} is no part of a selector")
        if name in selector:
            raise _refused(f"{name} is named twice")
        selector[name] = _value(name, value)
    return selector


def _value(name: str, value: str) -> str | bool:
    if name == "stuck":
        if value.lower() not in _BOOLEANS:
            raise _refused(f"stuck is {value!r}: write true or false")
        return _BOOLEANS[value.lower()]
    if name == "status" and value not in OPEN:
        known = ", ".join(sorted(OPEN))
        raise _refused(f"status is {value!r}: only open runs can be killed ({known})")
    return value


def _refused(why: str) -> Problem:
    return Problem(
        f"--selector: {why}",
        hint="write for example --selector workflow=lina,stuck=true "
        f"(names: {', '.join(FIELDS)}); add --dry-run to see what it matches",
        exit_code=Exit.USAGE,
    )
