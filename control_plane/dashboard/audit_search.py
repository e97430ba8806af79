"""What is looked for in the log: read from the address and written back to it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlencode

from control_plane.read_model import EventFilter
from runplane.contract.envelope import TYPES

PAGE = 100
_LONGEST = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Search:
    """As it stands in the address. ``faults``: by field, what cannot be used."""

    type: str = ""
    actor: str = ""
    run: str = ""
    host: str = ""
    since: str = ""
    until: str = ""
    before: str = ""
    seq: str = ""

    @staticmethod
    def of(query: Mapping[str, str]) -> "Search":
        """From an address; what it does not know is passed over."""
        names = Search.__slots__
        return Search(**{name: query[name].strip()[:_LONGEST] for name in names if name in query})

    def address(self, **changes: str) -> str:
        """The address of this search, or of one that differs."""
        values = {name: getattr(self, name) for name in self.__slots__} | changes
        return f"/audit?{urlencode({name: value for name, value in values.items() if value})}"

    @property
    def opened(self) -> int | None:
        """The record that is open."""
        return int(self.seq) if self.seq.isdecimal() else None

    def faults(self) -> dict[str, str]:
        """By field, what is wrong with it and what to write."""
        faults: dict[str, str] = {}
        if self.type and self.type not in TYPES:
            faults["type"] = f"{self.type[:40]} is no type of record: choose one of the list"
        for name in ("since", "until"):
            value = getattr(self, name)
            if value and moment_of(value) is None:
                faults[name] = f"{value[:40]} is no time: write 2026-03-01T14:02 (UTC)"
        if self.before and not self.before.isdecimal():
            faults["before"] = f"{self.before[:40]} is no log position"
        return faults

    def filter(self) -> EventFilter:
        """The newest page of what matches. Only where there are no faults."""
        return EventFilter(
            type=self.type or None,
            actor=self.actor or None,
            run_id=self.run or None,
            host=self.host or None,
            since=moment_of(self.since),
            until=moment_of(self.until),
            before_seq=min(int(self.before), 2**62) if self.before else None,
            newest=True,
            limit=PAGE,
        )


def moment_of(text: str) -> datetime | None:
    """A time as the page's fields write it; without a zone it is UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
