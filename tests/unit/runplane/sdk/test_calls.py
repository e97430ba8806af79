import json
import threading
import time
from decimal import Decimal
from pathlib import Path

import pytest

import runplane
from tests.run_directory import RunDirectory


def test_progress_is_reported_as_it_is_given(run_dir: RunDirectory) -> None:
    runplane.progress(3, 10, "third table", unit="tables")
    runplane.progress(4)
    runplane.progress(0.5, float("inf"))
    runplane.progress(float(Decimal(2)), 4)

    assert run_dir.of("progress") == [
        {"done": 3, "total": 10, "unit": "tables", "message": "third table"},
        {"done": 4},
        {"done": 0.5, "total": None},
        {"done": 2.0, "total": 4},
    ]


def test_track_reports_seldom_and_at_the_end(run_dir: RunDirectory) -> None:
    assert list(runplane.track(range(20_000), unit="rows")) == list(range(20_000))

    said = run_dir.of("progress")
    assert said[0] == {"done": 0, "total": 20_000, "unit": "rows"}
    assert said[-1] == {"done": 20_000, "total": 20_000, "unit": "rows"}
    elapsed = run_dir.reports()[-1]["t"] - run_dir.reports()[0]["t"]
    assert len(said) <= 3 + elapsed * 10


def test_track_reports_how_far_a_broken_off_loop_came(run_dir: RunDirectory) -> None:
    for number in runplane.track(number for number in range(1000)):
        if number == 7:
            break
    assert run_dir.of("progress")[-1] == {"done": 7}


def test_a_checkpoint_is_kept_as_it_was(run_dir: RunDirectory) -> None:
    state = {"done": [1, 2]}
    runplane.checkpoint(state)
    state["done"].append(3)

    assert runplane.last_checkpoint() == {"done": [1, 2]}
    assert run_dir.of("checkpoint") == [{"done": [1, 2]}]


def test_the_last_checkpoint_of_an_earlier_attempt(run_dir: RunDirectory) -> None:
    run_dir.resume(checkpoint={"page": 4})

    assert runplane.last_checkpoint() == {"page": 4}
    runplane.checkpoint({"page": 5})
    assert runplane.last_checkpoint() == {"page": 5}


def test_there_is_no_checkpoint_in_a_first_attempt(run_dir: RunDirectory) -> None:
    assert runplane.last_checkpoint() is None
    assert run_dir.reports() == []


def test_a_checkpoint_is_never_lost_in_silence(run_dir: RunDirectory) -> None:
    with pytest.raises(ValueError, match="takes 17825803 bytes"):
        runplane.checkpoint({"text": "x" * (17 << 20)})
    with pytest.raises(ValueError, match="JSON"):
        runplane.checkpoint({"mean": float("nan")})
    with pytest.raises(TypeError, match="not JSON serializable"):
        runplane.checkpoint({"lock": threading.Lock()})
    with pytest.raises(TypeError, match="is a dict, not list"):
        runplane.checkpoint([1])  # type: ignore[arg-type]
    assert run_dir.reports() == []


def test_a_checkpoint_that_is_too_wide_for_a_line_is_in_a_file(run_dir: RunDirectory) -> None:
    runplane.checkpoint({"text": "x" * 70_000}, files={"table": "table.bin"})
    (said,) = run_dir.reports()
    assert (
        json.loads((run_dir.path / "values" / said["checkpoint"]["$file"]).read_text())["text"]
        == "x" * 70_000
    )
    assert said["files"] == {"table": str(Path("table.bin").resolve())}
    assert runplane.last_checkpoint() == {"text": "x" * 70_000}


def test_a_checkpoint_is_waited_for_until_it_is_stored_or_refused(run_dir: RunDirectory) -> None:
    def answer() -> None:
        deadline = time.monotonic() + 20.0
        while not run_dir.of("checkpoint"):
            assert time.monotonic() < deadline, "no checkpoint was reported"
            time.sleep(0.005)
        said = run_dir.reports()[-1]["id"]
        writer, _, number = said.rpartition("-")
        (run_dir.path / "checkpoint.json").write_text(json.dumps({"stored": {writer: int(number)}}))

    agent = threading.Thread(target=answer)
    agent.start()
    runplane.checkpoint({"page": 1}, wait=20.0)
    agent.join()
    with pytest.raises(TimeoutError, match="was not stored away from it within"):
        runplane.checkpoint({"page": 2}, wait=0.05)
    last = run_dir.reports()[-1]["id"]
    writer, _, number = last.rpartition("-")
    refused = {"refused": {"id": f"{writer}-{int(number) + 1}", "why": "its files take more than 1 GiB"}}
    (run_dir.path / "checkpoint.json").write_text(json.dumps(refused))
    with pytest.raises(RuntimeError, match="more than 1 GiB"):
        runplane.checkpoint({"page": 3}, wait=20.0)


def test_variables_come_back_with_the_operators_edits(run_dir: RunDirectory) -> None:
    assert runplane.variables(batch=1, limit=5) == {"batch": 1, "limit": 5}
    run_dir.control(variables={"limit": 2})
    assert runplane.variables(batch=2, limit=5) == {"batch": 2, "limit": 2}
    assert runplane.variables() == {"batch": 2, "limit": 2}
    assert run_dir.of("variables") == [{"batch": 1, "limit": 5}, {"batch": 2, "limit": 2}]


def test_a_breakpoint_returns_what_was_edited_while_it_held(run_dir: RunDirectory) -> None:
    run_dir.control(breakpoints=[{"location": "step:before-merge", "condition": None}])
    found: list[object] = []
    workflow = threading.Thread(target=lambda: found.append(runplane.breakpoint("before-merge", limit=5)))
    workflow.start()
    try:
        held = run_dir.wait_for("held")
        assert (held["at"], held["explicit"]) == ("step:before-merge", True)
        assert held["variables"] == {"limit": 5}
    finally:
        run_dir.control(permits=1, variables={"limit": 9})
        workflow.join(20)
    assert found == [{"limit": 9}]
    assert run_dir.of("resumed") == [{"at": "step:before-merge", "id": held["id"]}]


def test_a_breakpoint_nobody_asked_for_goes_on(run_dir: RunDirectory) -> None:
    assert runplane.breakpoint("here", a=1) == {"a": 1}
    assert run_dir.of("held") == []


def test_a_run_knows_itself(run_dir: RunDirectory) -> None:
    (run_dir.path / "spec.json").write_text(json.dumps({"params": {"epic": "e.json"}}))

    this = runplane.run()
    assert (this.run_id, this.attempt, this.is_resumed) == ("run_0dcbc991c0d4", 1, False)
    assert this.params == {"epic": "e.json"}
    assert this.directory == str(run_dir.path)


def test_a_resumed_run_says_so(run_dir: RunDirectory) -> None:
    run_dir.resume()
    assert runplane.run().is_resumed


@pytest.mark.usefixtures("no_run")
def test_outside_a_run_nothing_happens() -> None:
    runplane.progress(1, 2, "three")
    runplane.checkpoint({"a": 1})
    assert runplane.last_checkpoint() is None
    assert runplane.variables(a=1) == {"a": 1}
    assert runplane.breakpoint("here", b=2) == {"b": 2}
    assert list(runplane.track(range(3))) == [0, 1, 2]
    this = runplane.run()
    assert (this.run_id, this.attempt, this.params, this.is_resumed, this.directory) == (
        None,
        0,
        {},
        False,
        None,
    )
