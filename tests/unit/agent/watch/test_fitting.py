"""A diagnosis of any size becomes one that the log can bear, and says what it left out."""

from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.watch.fitting import MOST_BYTES, fitted
from runplane.contract.diagnosis import Diagnosis, Frame, SeenFile, SeenProcess, SeenSocket, SeenThread
from runplane.contract.run import Condition, Status

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def diagnosis(processes: int, threads: int, frames: int, lines: int, width: int) -> Diagnosis:
    frame = Frame(function="f" * width, file="/x" * width, line=1)
    process = SeenProcess(
        pid=1, parent_pid=0, name="p", cmdline="c" * width, state="S", state_name="sleeping",
        threads=(SeenThread(tid=1, name="t", state="S", waits_for="lock", stack=(frame,) * frames),) * threads,
        sockets=(SeenSocket(fd=3, protocol="tcp", peer="x" * width),) * threads,
        files=(SeenFile(fd=3, target="y" * width),) * threads,
    )  # fmt: skip
    return Diagnosis(
        run_id="run_00000000000a", workflow="w", status=Status.RUNNING, sentence="It waits.", taken_at=NOON,
        processes=(process,) * processes, stdout=("z" * width,) * lines, stderr=("z" * width,) * lines,
        condition=Condition(type="stuck", since=NOON, evidence=["e" * width] * lines),
    )  # fmt: skip


@given(
    st.integers(0, 40),
    st.integers(0, 16),
    st.integers(0, 40),
    st.integers(0, 40),
    st.sampled_from([1, 40, 400]),
)
@settings(max_examples=60, deadline=None)
def test_it_fits_and_says_so(processes: int, threads: int, frames: int, lines: int, width: int) -> None:
    whole = diagnosis(processes, threads, frames, lines, width)
    short = fitted(whole)
    assert len(short.model_dump_json()) <= MOST_BYTES
    assert short.sentence == whole.sentence
    assert (short == whole) == (len(whole.model_dump_json()) <= MOST_BYTES)
    assert bool(short.unseen) == (short != whole)


def test_what_is_told_least_goes_first() -> None:
    short = fitted(diagnosis(10, 8, 10, 10, 40))
    assert short.processes[0].files != ()
    assert len(short.processes[0].files) == 6
    assert "open files" in short.unseen[0]
    assert short.processes[0].threads[0].stack
