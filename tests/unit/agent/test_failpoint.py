import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from agent import failpoint


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    failpoint.arm("")


def test_nothing_is_counted_while_nothing_is_armed() -> None:
    failpoint.passing("journal.before")
    assert failpoint.passed() == {}


def test_places_are_counted_while_one_is_armed() -> None:
    failpoint.arm("spawn.before:9, ack.after:2")
    failpoint.passing("journal.before")
    failpoint.passing("spawn.before")
    assert failpoint.passed() == {"journal.before": 1, "spawn.before": 1}


@pytest.mark.parametrize(
    "text", ["journal", "journal.before", "journal.before:0", "nowhere:1", "ack.after:x"]
)
def test_what_cannot_be_meant_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match=r"RUNPLANE_FAILPOINT: '.*' is not PLACE:N.*journal\.before"):
        failpoint.arm(text)


def test_the_nth_passing_is_the_last() -> None:
    program = (
        "from agent import failpoint\nfailpoint.arm('end.before:2')\n"
        "for place in ('end.before', 'end.after', 'end.before', 'end.after'):\n"
        "    print(place, flush=True)\n    failpoint.passing(place)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, env=os.environ, check=False)
    assert done.returncode == -signal.SIGKILL
    assert done.stdout.split() == [b"end.before", b"end.after", b"end.before"]
