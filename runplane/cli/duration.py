"""Durations and moments as people write and read them: ``10s``, ``1h30m``, ``4m 12s``; ``14:02:11``, ``20m`` ago."""

from datetime import UTC, datetime, timedelta

import click

from runplane.contract.units import parse_duration

_UNITS = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))
_TENTHS_BELOW = 10


class Duration(click.ParamType[float]):
    """``30s``, ``10m``, ``1h30m`` or a number of seconds."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds."""
        try:
            return parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Moment(click.ParamType[datetime]):
    """A time (``2026-03-01T14:02:11Z``, ``2026-03-01 14:02``, ``14:02``) or how long ago (``20m``)."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """A moment with its zone."""
        try:
            return parse_moment(str(value), datetime.now().astimezone())
        except ValueError as error:
            self.fail(str(error), param, ctx)


def parse_moment(text: str, now: datetime) -> datetime:
    """The moment that a person means at ``now``; without a zone it is the zone of ``now``."""
    text = text.strip()
    if text in ("now", ""):
        return now
    for form in ("%H:%M", "%H:%M:%S"):
        try:
            clock = datetime.strptime(text, form)  # noqa: DTZ007 - the zone is that of `now`
        except ValueError:
            continue
        then = now.replace(hour=clock.hour, minute=clock.minute, second=clock.second, microsecond=0)
        return then if then <= now else then - timedelta(days=1)
    if not text.isdigit():
        try:
            return now - timedelta(seconds=parse_duration(text))
        except ValueError:
            pass
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            pass
        else:
            return moment if moment.tzinfo is not None else moment.replace(tzinfo=now.tzinfo)
    raise ValueError(f"{text!r} is no time: write 14:02, 2026-03-01T14:02:11Z, or 20m for twenty minutes ago")


def show_duration(seconds: float) -> str:
    """At most two units: ``31 ms``, ``4.2 s``, ``42s``, ``4m 12s``, ``3h 5m``, ``2d 1h``."""
    seconds = max(seconds, 0.0)
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < _TENTHS_BELOW:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    return " ".join(_parts(seconds)[:2])


def show_age(seconds: float) -> str:
    """One unit, for a column: ``42s``, ``4m``, ``3h``, ``2d``."""
    return (_parts(max(seconds, 0.0)) or ["0s"])[0]


def age_of(moment: datetime, now: datetime | None = None) -> float:
    """Seconds since a moment."""
    return ((now or datetime.now(UTC)) - moment).total_seconds()


def show_clock(moment: datetime, now: datetime | None = None) -> str:
    """The local time of day, with its date where that is not today's."""
    local = moment.astimezone()
    today = (now or datetime.now(UTC)).astimezone().date()
    return f"{local:%H:%M:%S}" if local.date() == today else f"{local:%Y-%m-%d %H:%M:%S}"


def show_ago(moment: datetime, now: datetime | None = None) -> str:
    """When, and how long ago that is."""
    age = age_of(moment, now)
    return f"{show_clock(moment, now)} ({show_duration(age)} ago)"


def _parts(seconds: float) -> list[str]:
    left = round(seconds)
    parts: list[str] = []
    for unit, size in _UNITS:
        count, left = divmod(left, size)
        if count or parts:
            parts.append(f"{count}{unit}")
    while len(parts) > 1 and parts[-1].startswith("0"):
        parts.pop()
    return parts
