from collections.abc import Iterator
from typing import Any

import pytest

from runplane.sdk.control import Control, hold
from tests.run_directory import RunDirectory


class Hold:
    """A hold that is led step by step: no time passes but that of the test."""

    def __init__(self, run_dir: RunDirectory, control: Control, at: str, *, explicit: bool = False) -> None:
        self.said: list[dict[str, Any]] = []
        self._waits: Iterator[float] = hold(control, at, dict, self._say, explicit=explicit)
        self._run_dir = run_dir

    def _say(self, report: dict[str, Any]) -> bool:
        self.said.append(report)
        return True

    def stays(self) -> bool:
        return next(self._waits, None) is not None


@pytest.fixture
def control(run_dir: RunDirectory) -> Control:
    return Control(str(run_dir.path / "control.json"))


def test_nothing_asked_for_holds_nothing(run_dir: RunDirectory, control: Control) -> None:
    here = Hold(run_dir, control, "step:plan")

    assert not here.stays()
    assert here.said == []


@pytest.mark.parametrize(
    "document",
    [
        {"paused": True},
        {"breakpoints": [{"location": "step:plan", "condition": None}]},
        {"breakpoints": [{"location": "step:*"}]},
    ],
)
def test_a_pause_and_a_breakpoint_hold_until_they_are_taken_away(
    document: dict[str, Any], run_dir: RunDirectory, control: Control
) -> None:
    run_dir.control(**document)
    here = Hold(run_dir, control, "step:plan")

    assert here.stays()
    assert here.stays()
    run_dir.control()
    assert not here.stays()
    held, resumed = here.said
    assert held == {"held": {"at": "step:plan", "id": held["held"]["id"], "explicit": False}}
    assert resumed == {"resumed": {"at": "step:plan", "id": held["held"]["id"]}}


def test_another_step_and_a_line_hold_nothing(run_dir: RunDirectory, control: Control) -> None:
    run_dir.control(
        breakpoints=[
            {"location": "step:other", "condition": None},
            {"location": "lina.py:14", "condition": None},
        ]
    )
    assert not Hold(run_dir, control, "step:plan").stays()


def test_a_condition_holds_until_the_agent_has_decided_it(run_dir: RunDirectory, control: Control) -> None:
    points = [{"location": "step:plan", "condition": "batch > 3"}]
    run_dir.control(breakpoints=points)
    one, other = Hold(run_dir, control, "step:plan"), Hold(run_dir, control, "step:plan")
    assert one.stays()
    assert other.stays()
    run_dir.control(breakpoints=points, released=[one.said[0]["held"]["id"]])
    assert not one.stays()
    assert other.stays()


def test_a_permit_lets_one_hold_go_and_the_next_one_stays(run_dir: RunDirectory, control: Control) -> None:
    run_dir.control(paused=True)
    first = Hold(run_dir, control, "step:one")
    assert first.stays()
    run_dir.control(paused=True, permits=1)
    assert not first.stays()

    second = Hold(run_dir, control, "step:two")
    assert second.stays()
    assert second.stays()
    run_dir.control(paused=True, permits=2)
    assert not second.stays()


def test_a_change_that_permits_nothing_does_not_end_a_hold(run_dir: RunDirectory, control: Control) -> None:
    run_dir.control(paused=True)
    here = Hold(run_dir, control, "step:one")
    assert here.stays()
    run_dir.control(
        paused=True, variables={"batch": 1}, breakpoints=[{"location": "step:nine", "condition": None}]
    )
    assert here.stays()


def test_the_waits_grow_from_2_to_100_milliseconds(run_dir: RunDirectory, control: Control) -> None:
    run_dir.control(paused=True)
    waits = hold(control, "step:one", dict, lambda _report: True)
    seen = [next(waits) for _ in range(20)]

    assert seen[0] == pytest.approx(0.002)
    assert seen == sorted(seen)
    assert seen[-1] == pytest.approx(0.1)


def test_a_hold_ends_when_the_run_directory_is_gone(run_dir: RunDirectory, control: Control) -> None:
    run_dir.control(paused=True)
    here = Hold(run_dir, control, "step:one")
    assert here.stays()
    (run_dir.path / "control.json").unlink()
    assert not here.stays()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"paused": 1, "permits": "x", "variables": [], "breakpoints": 7}', "\xff"]
)
def test_a_document_that_is_not_valid_raises_nothing(
    text: str, run_dir: RunDirectory, control: Control
) -> None:
    (run_dir.path / "control.json").write_text(text, encoding="latin-1")
    assert not Hold(run_dir, control, "step:one").stays()


def test_a_broken_document_leaves_the_last_one_standing(run_dir: RunDirectory, control: Control) -> None:
    run_dir.control(paused=True)
    here = Hold(run_dir, control, "step:one")
    assert here.stays()
    (run_dir.path / "control.json").write_text('{"paused": fal')
    assert here.stays()


def test_a_breakpoint_of_the_workflow_holds_in_a_debug_run(run_dir: RunDirectory, control: Control) -> None:
    assert not Hold(run_dir, control, "step:here", explicit=True).stays()
    run_dir.control(debug=True)
    assert not Hold(run_dir, control, "step:here").stays()
    here = Hold(run_dir, control, "step:here", explicit=True)
    assert here.stays()
    run_dir.control(debug=True, permits=1)
    assert not here.stays()


def test_an_edit_stands_while_the_workflow_passes_the_same_value(
    run_dir: RunDirectory, control: Control
) -> None:
    run_dir.control(variables={"limit": 10, "unknown": 1})
    assert [control.look().edited({"limit": 100}) for _ in range(3)] == [{"limit": 10}] * 3


def test_an_edit_is_spent_when_the_workflow_moves_on(run_dir: RunDirectory, control: Control) -> None:
    seen, number = [], 1
    for turn in range(5):
        if turn == 2:
            run_dir.control(variables={"number": 50})
        number = int(str(control.look().edited({"number": number})["number"]))
        seen.append(number)
        number += 1
    assert seen == [1, 2, 50, 51, 52]

    run_dir.control(variables={"number": 7})
    assert control.look().edited({"number": 53}) == {"number": 7}


def test_the_document_is_read_only_when_it_was_replaced(
    run_dir: RunDirectory, control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = 0

    def counted(path: str) -> dict[str, Any] | None:
        nonlocal reads
        reads += 1
        return original(path)

    from runplane.sdk import control as module

    original = module.read_object
    monkeypatch.setattr(module, "read_object", counted)
    for _ in range(5):
        control.look()
    assert reads == 1
    run_dir.control(paused=True)
    assert control.look().paused
    assert reads == 2
