"""Which limits of an attempt were reached, as its cgroups count it. Standard library alone: the shims look, too."""

from collections.abc import Iterable, Mapping

from agent.process.kernel import read_head

_COUNTED: Mapping[str, tuple[tuple[str, ...], bytes]] = {
    # Version 2, then version 1. Memory counts when somebody was killed for it, not when the kernel had to reclaim some.
    "memory": (("memory.events", "memory.oom_control"), b"oom_kill"),
    "pids": (("pids.events",), b"max"),
}


def reached(places: Mapping[str, str]) -> list[str]:
    """The controllers, of those with a place, whose limit was reached since the place was made."""
    return sorted(
        controller
        for controller, (files, name) in _COUNTED.items()
        if controller in places and _counted(places[controller], files, name)
    )


def _counted(place: str, files: Iterable[str], name: bytes) -> bool:
    """Whether one of the files has a line ``name N`` with N above 0."""
    for file in files:
        for line in read_head(f"{place}/{file}").splitlines():
            fields = line.split()
            if fields[:1] == [name] and len(fields) > 1 and fields[1] != b"0":
                return True
    return False
