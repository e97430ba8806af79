"""A detector that fails takes nothing else along: the samples go on, and the others are watched."""

import logging
import os
from types import SimpleNamespace
from typing import Any

import pytest

from agent.watch.sampler import SeenProcess, TreeSample
from agent.watching import IDLE_SAMPLES, Watching
from runplane.contract.run import Resources, Status
from runplane.contract.workflow import StuckPolicy
from runplane.stamp import now


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
        spec=SimpleNamespace(stuck=StuckPolicy(), learned=None),
        state=SimpleNamespace(run=SimpleNamespace(status=Status.RUNNING, attempt_over=False)),
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


def test_an_idle_tree_is_looked_at_more_seldom_and_one_that_wakes_up_is_not(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[float] = []
    clock, cpu = [100.0], [0.0]

    def sample(self: object, pids: object) -> TreeSample:  # noqa: ARG001 - the sampler's signature
        looks.append(clock[0])
        used = Resources(sampled_at=now())
        seen = SeenProcess(1, "p", "S", 0, 1, 0, 1, 0)
        return TreeSample(resources=used, processes=(seen,), cpu_seconds=cpu[0], elapsed=2.0)

    monkeypatch.setattr("agent.watch.sampler.TreeSampler.sample", sample)
    monkeypatch.setattr("agent.watching.time.monotonic", lambda: clock[0])
    member = SimpleNamespace(pid=1)
    process: Any = SimpleNamespace(
        directory=tmp_path, main=member, age=lambda: 1.0, gone=SimpleNamespace(is_set=lambda: False),
        members=lambda: [member],
    )  # fmt: skip
    story: Any = SimpleNamespace(
        run_id="run_00000000000a",
        spec=SimpleNamespace(stuck=StuckPolicy(), learned=None),
        state=SimpleNamespace(run=None),
    )
    watching = Watching(story, process, mask=str, tell=lambda fact: pytest.fail(str(fact)))

    def beat(times: int) -> int:
        before = len(looks)
        for _ in range(times):
            assert watching.sample() is not None
            clock[0] += 2.0
        return len(looks) - before

    assert beat(IDLE_SAMPLES) == IDLE_SAMPLES
    assert beat(30) == 10
    cpu[0] = 0.5
    assert beat(30) >= 28

    story.spec.stuck = StuckPolicy(silent=3.0)
    cpu[0] = 0.0
    eager = Watching(story, process, mask=str, tell=lambda fact: pytest.fail(str(fact)))
    before = len(looks)
    for _ in range(2 * IDLE_SAMPLES):
        eager.sample()
        clock[0] += 2.0
    assert len(looks) - before == 2 * IDLE_SAMPLES
