"""Earlier runs teach the next one: through the log, the read model, and the order to start."""

from pathlib import Path

import pytest

from control_plane.command_side import CommandSide, StartRequest
from control_plane.command_side.lessons import Lessons
from runplane.contract.commands import StartRun
from runplane.contract.envelope import Envelope
from runplane.contract.events import (
    OutcomeOverridden,
    ProcessExited,
    ProcessSpawned,
    RunCompleted,
    StepCompleted,
    StepStarted,
    TreeVerifiedGone,
)
from runplane.contract.run import Actor, Exit
from runplane.contract.workflow import WorkflowDefinition
from tests.broker_process import BrokerProcess
from tests.plane import LIMIT, plane
from tests.records import PROCESS, SPEC, claim, on_host, start

pytestmark = pytest.mark.anyio

ADA = Actor(principal="ada", surface="cli")


def life(number: int, *, declared: bool = False) -> list[Envelope]:
    """A run of the workflow from its order to its end; ``declared``: somebody said that it was done."""
    run_id = f"run_{number:012x}"
    end = OutcomeOverridden(outcome="completed", observed="detached") if declared else RunCompleted()
    facts = (
        ProcessSpawned(main=PROCESS, shim=PROCESS, mechanism="cgroup"),
        StepStarted(name="plan", index=0),
        StepCompleted(name="plan", index=0, duration_seconds=10.0 + number),
        ProcessExited(exit=Exit(code=0), longest_quiet_seconds=100.0 + number),
        TreeVerifiedGone(verified_by=("cgroup",)),
        end,
    )
    told = [
        start(run_id),
        on_host(claim().data, run_id=run_id),
        *(on_host(fact, run_id=run_id) for fact in facts),
    ]
    return [one.model_copy(update={"id": f"{number:016x}{index:016x}"}) for index, one in enumerate(told)]


async def test_five_that_ended_well_teach_the_sixth(nats_server: BrokerProcess, tmp_path: Path) -> None:
    async with plane(nats_server.url, tmp_path, manage=False) as side:
        commands = CommandSide(side.bus, side.read_model)
        await commands.apply_workflow(
            WorkflowDefinition(name=SPEC.workflow, command=("sleep", "1"), workspace="/"), ADA
        )
        for number in range(1, 5):
            await side.put(*life(number))
        await side.put(*life(9, declared=True))
        await side.settled()
        lessons = Lessons(side.read_model)
        assert lessons.of(SPEC) is None
        await side.put(*life(5))
        await side.settled()
        assert lessons.of(SPEC) is None  # looked up once a minute
        accepted = await commands.start_run(StartRequest(workflow=SPEC.workflow), ADA)
        assert await side.read_model.wait_for(accepted.seq, LIMIT)
        order = (await side.bus.story(accepted.run_id))[0][1].data
        assert isinstance(order, StartRun)
        known = order.spec.learned
        assert known is not None
        assert known.quiet is not None
        assert (known.quiet.times, known.quiet.usual, known.quiet.longest, known.quiet.limit) == (
            5,
            103,
            105,
            618,
        )
        assert known.steps["plan"].limit == 78

        given = {"silent": 5.0, "spinning": 5.0, "looping": 3, "step": 5.0}
        all_given = SPEC.model_copy(update={"stuck": SPEC.stuck.model_copy(update=given)})
        assert Lessons(side.read_model).of(all_given) is None
