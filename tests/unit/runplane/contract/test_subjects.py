"""Each subject has the literal form that stands beside it, and finds its records."""

import pytest

from runplane.contract import subjects
from tests.records import HOST, RUN


@pytest.mark.parametrize(
    ("subject", "literal"),
    [
        (subjects.host_command(HOST, RUN), f"rp.cmd.host.h1.{RUN}"),
        (subjects.host_commands(HOST), "rp.cmd.host.h1.>"),
        (subjects.pool_command("default", RUN), f"rp.cmd.pool.default.{RUN}"),
        (subjects.pool_commands("default"), "rp.cmd.pool.default.>"),
        (subjects.plane_command(RUN), f"rp.cmd.plane.main.{RUN}"),
        (subjects.host_event(HOST, RUN), f"rp.evt.host.h1.{RUN}"),
        (subjects.host_presence(HOST), "rp.evt.host.h1.host"),
        (subjects.plane_event(RUN), f"rp.evt.plane.main.{RUN}"),
        (subjects.workflow_event("lina"), "rp.evt.plane.registry.lina"),
        (subjects.run_events(RUN), f"rp.evt.*.*.{RUN}"),
        (subjects.run_story(RUN), f"rp.*.*.*.{RUN}"),
        (subjects.telemetry(HOST), "rp.tel.h1"),
        (subjects.output(HOST, RUN, 2, "stdout"), f"rp.out.h1.{RUN}.2.stdout"),
        (subjects.run_output(RUN), f"rp.out.*.{RUN}.*.*"),
        (subjects.run_output(RUN, 0, "stderr"), f"rp.out.*.{RUN}.0.stderr"),
    ],
)
def test_the_literal_form(subject: str, literal: str) -> None:
    assert subject == literal


@pytest.mark.parametrize(
    "subject",
    [
        subjects.host_command(HOST, RUN),
        subjects.pool_command("default", RUN),
        subjects.plane_command(RUN),
        subjects.host_event(HOST, RUN),
        subjects.plane_event(RUN),
    ],
)
def test_a_runs_whole_story_is_one_filter(subject: str) -> None:
    tokens = zip(subjects.run_story(RUN).split("."), subject.split("."), strict=True)

    assert all(pattern in ("*", token) for pattern, token in tokens)
