"""A detector that fails takes nothing else along: the samples go on, and the others are watched."""

import logging
import os
from types import SimpleNamespace
from typing import Any

import pytest

from agent.watching import Watching
from runplane.contract.run import Status
from runplane.contract.workflow import StuckPolicy


def test_a_detector_that_fails_is_given_up_and_samples_go_on(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    member = SimpleNamespace(pid=os.getpid())
    process: Any = SimpleNamespace(
        directory=tmp_path, main=member, age=lambda: 1.0, gone=SimpleNamespace(is_set=lambda: False),
        members=lambda: [member],
    )  # fmt: skip
    story: Any = SimpleNamespace(
        run_id="run_00000000000a",
        spec=SimpleNamespace(stuck=StuckPolicy()),
        state=SimpleNamespace(run=SimpleNamespace(status=Status.RUNNING)),
    )
    looks = []

    def look(*_: object) -> None:
        looks.append(1)
        raise ValueError("something that nobody thought of")

    monkeypatch.setattr("agent.watch.stuck_detector.StuckDetector.look", look)
    watching = Watching(story, process, mask=str, tell=lambda fact: pytest.fail(str(fact)))
    with caplog.at_level(logging.ERROR):
        assert watching.sample() is not None
        assert watching.sample() is not None
    assert len(looks) == 1
    assert "run_00000000000a: it is no longer watched" in caplog.text
