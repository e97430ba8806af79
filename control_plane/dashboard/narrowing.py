"""Which runs the table shows: read from the address and checked; the browser keeps the address true. Pure."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from control_plane.dashboard import words
from runplane.contract.run import Status

STATUSES = {"": "all", "open": "open", **{str(one): words.status(one) for one in Status}}
PERIODS = {"": "any time", "1h": "last hour", "24h": "last 24 h", "7d": "last 7 days"}
_LONGEST = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Narrowing:
    """Empty: not narrowed. ``stuck`` is ``true`` or empty, ``started`` one of :data:`PERIODS`."""

    status: str = ""
    workflow: str = ""
    host: str = ""
    stuck: str = ""
    started: str = ""
    q: str = ""

    @staticmethod
    def of(query: Mapping[str, str]) -> "Narrowing":
        """From an address; what it does not know, or cannot be, is passed over."""
        given = {name: query.get(name, "").strip()[:_LONGEST] for name in Narrowing.__slots__}
        allowed = {"status": STATUSES, "started": PERIODS, "stuck": ("", "true")}
        return Narrowing(
            **{name: value if value in allowed.get(name, (value,)) else "" for name, value in given.items()}
        )

    def plain(self) -> dict[str, str]:
        """For the browser."""
        return asdict(self)
