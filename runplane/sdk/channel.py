"""A process's end of one run directory.

A report is appended by one ``write`` to a file opened for appending, so the lines of threads and of processes never
mix, and no lock is held across a fork. A forked child gets an end of its own.

Only the process that reported first replays the steps of an earlier attempt. Its children report theirs under a place
that is never found again, and so run them again.
"""

from __future__ import annotations

import errno
import json
import os
import sys
from itertools import count

from runplane.sdk.control import Control, read_object
from runplane.sdk.line import SPILL_LIMIT, is_marker, line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from typing import Any

_OWNER = "RUNPLANE_SDK_PROCESS"


class Scope:
    """What lies inside one step: counts the calls of each name there."""

    __slots__ = ("_counts", "_prefix", "channel")

    def __init__(self, channel: Channel, prefix: str) -> None:
        self.channel, self._prefix = channel, prefix
        self._counts: dict[str, Iterator[int]] = {}

    @property
    def inside(self) -> str:
        """The place of the step that it lies in."""
        return self._prefix[:-1]

    def place(self, name: str) -> str:
        """Where the next call of this name stands in the program: ``plan#0``, ``plan#0/fetch#2``."""
        return f"{self._prefix}{name}#{next(self._counts.setdefault(name, count()))}"


class ShapeChanged(RuntimeError):
    """A resumed workflow calls other steps than it did before, so it is not known what of them is done."""


class Shape:
    """The order in which an earlier attempt called its steps, those beside each other; ``results``: the completed ones.

    A program that calls them in this order again finds every result. One that leaves out a completed step, or calls
    another one first, is another program.
    """

    def __init__(self, places: list[str], results: Collection[str]) -> None:
        self._results = results
        self._expected: dict[str, list[str]] = {}
        for place in reversed(places):
            self._expected.setdefault(place.rpartition("/")[0], []).append(place)

    def differs(self, place: str) -> str | None:
        """The completed step that should have come in place of this one; None where there is none."""
        expected = self._expected.get(place.rpartition("/")[0])
        if not expected:
            return None
        if place in expected:
            while expected:
                came = expected.pop()
                if came == place:
                    return None
                if came in self._results:
                    return came
            return None
        return next((one for one in reversed(expected) if one in self._results), None)


class Channel:
    """Writes reports, reads what the agent wrote. ``exposed`` are the variables an operator may look at."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.control = Control(self.path("control.json"))
        self.exposed: dict[str, object] = {}
        self.checkpoint: bytes | None = None
        self._counts: dict[str, Iterator[int]] = {}
        self._resume: dict[str, Any] | None = None
        self._results: dict[str, object] = {}
        self._shape: Shape | None = None
        self._checkpoints = 0
        self._fd = -1
        self._torn = self._complained = False
        self._warned: set[str] = set()
        pid, owner = os.getpid(), os.environ.get(_OWNER, "")
        if owner.partition(":")[2] != directory:
            owner = os.environ[_OWNER] = f"{pid}:{directory}"
        self._replays = owner.partition(":")[0] == str(pid)
        self.root = Scope(self, "" if self._replays else f"@{pid}/")

    def path(self, name: str) -> str:
        """A file of the run directory."""
        return os.path.join(self.directory, name)  # noqa: PTH118 - see the package's rules

    def index(self, name: str) -> int:
        """The number of this call among all calls of the name, from 0."""
        return next(self._counts.setdefault(name, count()))

    def report(self, body: dict[str, object]) -> bool:
        """Append one report; whether it is written. Where it is not, stderr says so once."""
        whole = line(body, self._spill)
        if b'"result":{"$not_json"' in whole or b'"result":{"$truncated"' in whole:
            self._warn(str(body.get("step")))
        data = b"\n" + whole if self._torn else whole
        for again in (False, True):
            try:
                if again or self._fd < 0:
                    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
                    self._fd = os.open(self.path("reports.jsonl"), flags, 0o644)
                written = os.write(self._fd, data)
            except OSError as error:
                if error.errno == errno.EBADF and not again:
                    continue  # a daemon closes every descriptor it inherited
                self._complain(error.strerror or str(error))
                return False
            if written < len(data):
                self._torn = True  # the next line must not continue this one
                self._complain("no room for a whole line")
                return False
            self._torn = False
            return True
        return False

    def spilled(self, value: bytes) -> dict[str, object] | None:
        """A JSON text in a file of its own: the marker for it, or None where it cannot be written."""
        marker = self._spill(value)
        return dict(json.loads(marker)) if marker is not None else None

    def _spill(self, value: bytes) -> bytes | None:
        """Put a value that is too large for a line into a file of its own; the marker for it."""
        if len(value) > SPILL_LIMIT:
            return None
        import hashlib  # noqa: PLC0415 - large values are rare

        name = f"{hashlib.sha256(value).hexdigest()}.json"
        place = self.path("values")
        try:
            os.makedirs(place, mode=0o700, exist_ok=True)  # noqa: PTH103 - see the package's rules
            building = f"{place}/.{os.getpid()}-{name}"
            with open(building, "wb") as file:  # noqa: PTH123
                file.write(value)
            os.replace(building, f"{place}/{name}")  # noqa: PTH105
        except OSError:
            return None
        return b'{"$file":"%s","bytes":%d}' % (name.encode(), len(value))

    def resume(self) -> dict[str, Any]:
        """resume.json, read once; empty in a first attempt. RuntimeError if it cannot be read: nothing is guessed."""
        if self._resume is None:
            try:
                found = read_object(self.path("resume.json")) or {}
            except (OSError, ValueError) as error:
                raise RuntimeError(f"cannot resume: {error}. Restart the run without --resume") from error
            self._results = {
                str(step.get("key") or f"{step.get('name')}#{step.get('index')}"): step.get("result")
                for step in found.get("steps") or ()
                if isinstance(step, dict) and _is_there(step.get("result"))
            }
            order = found.get("order")
            if found.get("sequential") is True and isinstance(order, list):
                self._shape = Shape([str(place) for place in order], self._results.keys())
            self._resume = found
        return self._resume

    @property
    def origin(self) -> str:
        """The run that everything began with: this one, or the one that it goes on from."""
        origin = self.resume().get("origin")
        return origin if isinstance(origin, str) else os.environ.get("RUNPLANE_RUN_ID", "")

    def next_checkpoint(self) -> str:
        """What the next checkpoint of this process is called."""
        self._checkpoints += 1
        return f"{os.getpid()}-{self._checkpoints}"

    def recorded(self, place: str) -> tuple[object] | None:
        """The result of a step that an earlier attempt completed, in a tuple, as it may be None."""
        if not self._replays or not self.resume():
            return None
        if self._shape is not None:
            self._check_shape(self._shape, place)
        if place not in self._results:
            return None
        result = self._results[place]
        if isinstance(result, dict) and isinstance(result.get("$file"), str):
            try:
                with open(self.path(f"values/{result['$file']}"), "rb") as file:  # noqa: PTH123
                    result = json.loads(file.read())
            except (OSError, ValueError) as error:
                raise RuntimeError(
                    f"cannot resume: the result of step {place} cannot be read: {error}"
                ) from error
        return (result,)

    def _check_shape(self, shape: Shape, place: str) -> None:
        expected = shape.differs(place)
        if expected is None:
            return
        message = (
            f"this workflow has changed since it was last run: step {expected!r} came here then and was completed, and "
            f"{place!r} comes now. Nothing new was run. Bring the step back, or start from the beginning "
            f"(runplane restart {os.environ.get('RUNPLANE_RUN_ID', 'RUN')})"
        )
        self.report({"shape_changed": message})
        raise ShapeChanged(message)

    def _warn(self, step: str) -> None:
        """A result that is not recorded is said so, once a step: it matters only when it is too late."""
        if step not in self._warned and sys.stderr is not None:
            self._warned.add(step)
            try:
                sys.stderr.write(
                    f"runplane: the result of step {step} is not JSON, or larger than 16 MiB, and is not recorded: "
                    f"a resumed attempt runs this step again.\n"
                )
            except (OSError, ValueError):
                return

    def _complain(self, why: str) -> None:
        if not self._complained and sys.stderr is not None:
            self._complained = True
            try:
                sys.stderr.write(
                    f"runplane: cannot report to {self.directory}: {why}. The workflow goes on unseen.\n"
                )
            except (OSError, ValueError):
                return


def _is_there(result: object) -> bool:
    """Whether a completed step's result was recorded, here or in a file."""
    return not is_marker(result) or (isinstance(result, dict) and isinstance(result.get("$file"), str))


_channels: dict[tuple[int, str], Channel] = {}


def channel() -> Channel | None:
    """This process's end of the run directory; None outside a run."""
    directory = os.environ.get("RUNPLANE_DIR")
    if not directory:
        return None
    key = (os.getpid(), directory)
    return _channels.get(key) or _channels.setdefault(key, Channel(directory))


def report(body: dict[str, object]) -> bool:
    """Append one report of any kind (docs/run-directory.md); False outside a run or when it cannot be written."""
    end = channel()
    return end is not None and end.report(body)
