import os
import subprocess
import sys
from pathlib import Path

import pytest

from runplane.cli.home import Home
from runplane.cli.lock import held, holder
from runplane.cli.problem import Exit, Problem
from runplane.cli.process import Identity, holding, identify, terminate

HOLD = """
import sys, signal
from pathlib import Path
from runplane.cli.home import Home
from runplane.cli.lock import held
with held(Home(path=Path(sys.argv[1]))):
    print("held", flush=True)
    signal.pause()
"""


def test_a_second_holder_is_refused_and_told_who_it_is(home: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(home)], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"

        with pytest.raises(Problem, match=f"pid {other.pid}") as caught, held(Home(path=home)):
            pass
        found = holder(Home(path=home))
        other.kill()

    assert caught.value.exit_code is Exit.CONFLICT
    assert found is not None
    assert found.pid == other.pid
    assert holder(Home(path=home)) is None


def test_the_lock_of_a_killed_holder_is_free(home: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(home)], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        other.kill()

    with held(Home(path=home)) as me:
        assert me.pid == os.getpid()


def test_another_process_under_the_same_pid_is_not_the_one_meant() -> None:
    me = identify(os.getpid())
    earlier = Identity(pid=me.pid, start_time=me.start_time - 1)

    assert me.is_alive()
    assert not earlier.is_alive()
    with holding(earlier) as descriptor:
        assert descriptor is None


def test_a_process_that_ignores_sigterm_is_reported_as_alive() -> None:
    deaf = "import signal; signal.signal(15, signal.SIG_IGN); print(flush=True)\nwhile True: signal.pause()"
    with subprocess.Popen([sys.executable, "-S", "-c", deaf], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with holding(identify(process.pid)) as descriptor:
            assert descriptor is not None
            assert not terminate(descriptor, limit=0.1)
        process.kill()
