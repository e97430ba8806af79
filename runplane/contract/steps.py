"""The place of a step among those around it, as its key tells it."""


def depth_of(key: str | None) -> int:
    """How many steps it lies within. A forked child's place begins with ``@PID/``, which is no step."""
    places = (key or "").split("/")
    return max(0, len([place for place in places if place and not place.startswith("@")]) - 1)
