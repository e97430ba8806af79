import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from nats.js.errors import NotFoundError

from control_plane import process_manager
from control_plane.plane_decisions import PlaneDecisions
from control_plane.read_model import EventFilter
from runplane.bus import Bus, CompareFailed, Expect, Stored
from runplane.contract import subjects
from runplane.contract.commands import ForceCompleteRun, KillRun, RestartRun, StartRun
from runplane.contract.envelope import Envelope
from runplane.contract.events import (
    ConditionCleared,
    ConditionRaised,
    RestartAccepted,
    RunKilled,
    RunTerminating,
)
from runplane.contract.ids import derive_run_id
from runplane.contract.run import Condition, Status
from runplane.contract.workflow import StuckPolicy
from runplane.core.state import RunState
from runplane.stamp import now
from tests.broker_process import BrokerProcess
from tests.plane import LIMIT, Plane, plane
from tests.records import HOST, OTHER_RUN, RUN, SPEC, claim, on_host, receipt, record, spawned
from tests.records import start as start_on_plane

pytestmark = pytest.mark.anyio

THIRD_RUN = "run_00000000000c"


def start(run_id: str = RUN, host: str | None = None) -> Envelope:
    subject = subjects.host_command(host, run_id) if host else subjects.pool_command("default", run_id)
    return start_on_plane(run_id, host=host).model_copy(update={"subject": subject})


def restart(run_id: str = RUN, new_run_id: str = OTHER_RUN, host: str | None = None) -> Envelope:
    order = record(RestartRun(run_id=run_id, new_run_id=new_run_id, spec=SPEC), run_id=new_run_id, host=host)
    return order.model_copy(update={"command_id": order.id})


def kill(run_id: str = RUN, reason: str | None = None) -> Envelope:
    order = record(KillRun(run_id=run_id, reason=reason), run_id=run_id)
    return order.model_copy(update={"command_id": order.id})


TERMINATING = on_host(RunTerminating(purpose="restart", method="graceful", grace_seconds=1))
KILLED = on_host(RunKilled(receipt=receipt()))
ACCEPTED = on_host(RestartAccepted(new_run_id=OTHER_RUN))


async def types(side: Plane, run_id: str) -> list[str]:
    return [envelope.type for _, envelope in await side.bus.story(run_id)]


async def handled(side: Plane) -> None:
    """Wait until the process manager has handled everything that was in the log, and what came of that."""
    async with asyncio.timeout(LIMIT):
        while True:
            last = await side.bus.last_seq()
            await side.settled()
            floors = [
                await _ack_floor(side.bus, name)
                for name in (process_manager.COMMANDS, process_manager.EVENTS)
            ]
            if all(pending == 0 for pending in floors) and await side.bus.last_seq() == last:
                return
            await asyncio.sleep(0.02)


async def _ack_floor(bus: Bus, name: str) -> int:
    try:
        information = await bus._js.consumer_info(subjects.LOG_STREAM, name)
    except NotFoundError:
        return 1
    return int((information.num_pending or 0) + (information.num_ack_pending or 0))


async def test_a_pending_run_is_canceled(nats_server: BrokerProcess, tmp_path: Path) -> None:
    async with plane(nats_server.url, tmp_path) as side:
        order = kill(reason="wrong epic")
        await side.put(start(), order)
        await side.until(RUN, "canceled")

        (_, canceled) = (await side.bus.story(RUN))[-1]
        assert canceled.type == "RunCanceled"
        assert (canceled.command_id, canceled.causation_id) == (order.id, order.id)
        assert (canceled.actor, canceled.subject) == (order.actor, subjects.plane_event(RUN))


async def test_a_pending_run_of_one_host_is_decided_by_the_plane_too(
    nats_server: BrokerProcess, tmp_path: Path
) -> None:
    async with plane(nats_server.url, tmp_path) as side:
        await side.put(start(host=HOST), kill())
        await side.until(RUN, "canceled")


async def test_an_order_about_a_run_that_a_host_holds_is_forwarded_once(
    nats_server: BrokerProcess, tmp_path: Path
) -> None:
    async with plane(nats_server.url, tmp_path) as side:
        order = kill()
        await side.put(start(), claim(), spawned(), order)
        await handled(side)

        (forwarded,) = [
            one for _, one in await side.bus.story(RUN) if one.subject == subjects.host_command(HOST, RUN)
        ]
        assert (forwarded.data, forwarded.actor, forwarded.command_id) == (order.data, order.actor, order.id)
        assert forwarded.id != order.id


async def test_a_refusal_is_written_down_with_its_command(nats_server: BrokerProcess, tmp_path: Path) -> None:
    async with plane(nats_server.url, tmp_path) as side:
        order = kill(reason="late")
        await side.put(start(), claim(), KILLED, order)
        await handled(side)

        (_, refused) = (await side.bus.story(RUN))[-1]
        assert refused.type == "CommandRejected"
        assert (refused.command_id, getattr(refused.data, "code", None)) == (order.id, "already_ended")


async def test_the_outcome_of_an_ended_run_is_replaced_by_the_plane(
    nats_server: BrokerProcess, tmp_path: Path
) -> None:
    async with plane(nats_server.url, tmp_path) as side:
        order = record(ForceCompleteRun(run_id=RUN, outcome="completed", replace=True))
        await side.put(start(), claim(), KILLED, order)
        state = await side.until(RUN, "completed")

        assert state.run is not None
        assert state.run.override is not None


async def test_cancel_and_claim_exclude_each_other(nats_server: BrokerProcess, tmp_path: Path) -> None:
    async with plane(nats_server.url, tmp_path) as side:
        won = {"claim": 0, "cancel": 0}
        for number in range(30):
            run_id = f"run_{number:012x}"
            await side.put(start(run_id))
            taken = claim().model_copy(
                update={"subject": subjects.host_event(HOST, run_id), "id": f"{number:032x}"}
            )

            async def take(envelope: Envelope, run_id: str = run_id) -> bool:
                try:
                    await side.bus.publish(envelope, Expect(subjects.run_events(run_id), 0))
                except CompareFailed:
                    return False
                return True

            claimed, _ = await asyncio.gather(take(taken), side.put(kill(run_id)))
            await handled(side)
            state = side.read_model.state(run_id)
            assert state is not None
            assert state.status == (Status.STARTING if claimed else Status.CANCELED)
            assert not state.anomalies
            told = await types(side, run_id)
            assert told.count("RunCanceled") == (0 if claimed else 1)
            assert ("KillRun" in told[2:]) is claimed  # forwarded to the host that won
            won["claim" if claimed else "cancel"] += 1

    assert sum(won.values()) == 30, won


def orders(*records: Envelope) -> Sequence[Envelope]:
    return records


@pytest.mark.parametrize(
    "log",
    [
        orders(start(), claim(), spawned(), restart(host=HOST), ACCEPTED, TERMINATING, KILLED),
        orders(start(), claim(), spawned(), restart(host=HOST), TERMINATING, KILLED, ACCEPTED),
    ],
    ids=["accepted-then-ended", "ended-then-accepted"],
)
async def test_a_restarted_run_is_followed_when_it_has_ended(
    nats_server: BrokerProcess, tmp_path: Path, log: Sequence[Envelope]
) -> None:
    async with plane(nats_server.url, tmp_path) as side:
        await side.put(*log[:-1])
        await handled(side)
        assert "StartRun" not in await types(side, OTHER_RUN)
        await side.put(log[-1])
        await handled(side)

        story = [one for _, one in await side.bus.story(OTHER_RUN)]
        assert [one.type for one in story] == ["RestartRun", "StartRun"]
        order, started = story
        assert isinstance(started.data, StartRun)
        assert (started.data.run_id, started.data.spec) == (OTHER_RUN, SPEC)
        assert started.subject == subjects.pool_command("default", OTHER_RUN)
        assert (started.actor.principal, started.actor.surface) == (order.actor.principal, "policy")
        assert started.causation_id == KILLED.id
        state = side.read_model.state(OTHER_RUN)
        assert state is not None
        assert (state.status, state.anomalies) == ("pending", ())


async def test_a_run_that_has_ended_is_restarted_by_the_plane_alone(
    nats_server: BrokerProcess, tmp_path: Path
) -> None:
    on_a_host = RestartRun(run_id=RUN, new_run_id=OTHER_RUN, spec=SPEC.model_copy(update={"host": HOST}))
    async with plane(nats_server.url, tmp_path) as side:
        await side.put(start(), claim(), KILLED, record(on_a_host, run_id=OTHER_RUN))
        await handled(side)

        assert (await types(side, RUN))[-1] == "RestartAccepted"
        (_, started) = (await side.bus.story(OTHER_RUN))[-1]
        assert started.subject == subjects.host_command(HOST, OTHER_RUN)


async def test_a_pending_run_is_canceled_and_followed(nats_server: BrokerProcess, tmp_path: Path) -> None:
    async with plane(nats_server.url, tmp_path) as side:
        await side.put(start(), restart())
        await side.until(RUN, "canceled")
        await handled(side)

        assert await types(side, RUN) == ["StartRun", "RunCanceled", "RestartAccepted"]
        assert await types(side, OTHER_RUN) == ["RestartRun", "StartRun"]


async def test_a_follower_that_was_killed_before_its_turn_is_never_started(
    nats_server: BrokerProcess, tmp_path: Path
) -> None:
    async with plane(nats_server.url, tmp_path) as side:
        await side.put(
            start(), claim(), spawned(), restart(host=HOST), ACCEPTED, TERMINATING, kill(OTHER_RUN)
        )
        await side.until(OTHER_RUN, "canceled")
        await side.put(KILLED)
        await handled(side)

        assert await types(side, OTHER_RUN) == ["RestartRun", "KillRun", "RunCanceled"]


async def test_a_follower_of_a_follower_waits_for_the_tree_of_the_first(
    nats_server: BrokerProcess, tmp_path: Path
) -> None:
    async with plane(nats_server.url, tmp_path) as side:
        await side.put(start(), claim(), spawned(), restart(host=HOST), ACCEPTED, TERMINATING)
        await side.put(restart(OTHER_RUN, THIRD_RUN))
        await side.until(OTHER_RUN, "canceled")
        await handled(side)
        assert "StartRun" not in await types(side, THIRD_RUN)

        await side.put(KILLED)
        await handled(side)
        assert "StartRun" not in await types(side, OTHER_RUN)
        assert await types(side, THIRD_RUN) == ["RestartRun", "StartRun"]


async def test_the_second_of_two_restarts_is_refused_and_its_follower_canceled(
    nats_server: BrokerProcess, tmp_path: Path
) -> None:
    async with plane(nats_server.url, tmp_path) as side:
        await side.put(start(), claim(), KILLED, restart(), restart(RUN, THIRD_RUN))
        await side.until(THIRD_RUN, "canceled")
        await handled(side)

        assert await types(side, OTHER_RUN) == ["RestartRun", "StartRun"]
        assert await types(side, THIRD_RUN) == ["RestartRun", "RunCanceled"]
        assert (await types(side, RUN)).count("CommandRejected") == 1


async def test_everything_delivered_again_changes_nothing(nats_server: BrokerProcess, tmp_path: Path) -> None:
    async with plane(nats_server.url, tmp_path) as side:
        await side.put(start(), claim(), KILLED, restart(), restart(RUN, THIRD_RUN), kill(OTHER_RUN), kill())
        await handled(side)
        before = await side.bus.last_seq()
    async with plane(nats_server.url, tmp_path, manage=False) as side:
        await side.settled()
        for name in (process_manager.COMMANDS, process_manager.EVENTS):
            await side.bus._js.delete_consumer(subjects.LOG_STREAM, name)
        published: list[Envelope] = []
        real = side.bus.publish

        async def publish(envelope: Envelope, expect: Expect | None = None, timeout: float = 10.0) -> Stored:
            published.append(envelope)
            return await real(envelope, expect, timeout)

        side.bus.publish = publish  # type: ignore[method-assign]
        managing = asyncio.create_task(side.process_manager.run())
        await handled(side)
        managing.cancel()
        await asyncio.wait({managing})

        assert published == []  # so it does not rest on the broker's window of duplicates
        assert await side.bus.last_seq() == before


async def test_two_replicas_do_everything_once(nats_server: BrokerProcess, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    async with plane(nats_server.url, tmp_path / "a") as one, plane(nats_server.url, tmp_path / "b") as two:
        for number in range(20):
            old, new = f"run_{number:012x}", f"run_{number + 0x100:012x}"
            order = restart(old, new).model_copy(
                update={"id": f"{number:032x}", "command_id": f"{number:032x}"}
            )
            await one.put(start(old).model_copy(update={"id": f"{number + 0x100:032x}"}), order)
        await handled(one)
        await handled(two)

        started = one.read_model.events(EventFilter(type="StartRun", limit=100))
        assert len(started) == 40
        assert one.read_model.status_counts() == {"canceled": 20, "pending": 20}
        assert two.read_model.status_counts() == one.read_model.status_counts()


async def test_events_nobody_can_read_do_not_block_a_runs_decisions(
    nats_server: BrokerProcess, tmp_path: Path
) -> None:
    async with plane(nats_server.url, tmp_path) as side:
        await side.put(start())
        await side.bus.publish_bytes(subjects.host_event(HOST, RUN), b"forged")
        await side.put(kill())
        await side.until(RUN, "canceled")


async def test_a_record_that_always_fails_is_given_up_and_counted(
    nats_server: BrokerProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_manager, "_LATER_SECONDS", 0.01)
    real = PlaneDecisions.handle

    async def failing(self: PlaneDecisions, envelope: Envelope, seq: int, *, again: bool) -> None:
        if envelope.run_id == RUN:
            raise RuntimeError("this one is poison")
        await real(self, envelope, seq, again=again)

    monkeypatch.setattr(PlaneDecisions, "handle", failing)
    async with plane(nats_server.url, tmp_path) as side:
        await side.put(start(), start(OTHER_RUN), kill(), kill(OTHER_RUN))
        await side.until(OTHER_RUN, "canceled")
        async with asyncio.timeout(LIMIT):
            while side.process_manager.given_up == 0:
                await asyncio.sleep(0.02)

        state: RunState | None = side.read_model.state(RUN)
        assert state is not None
        assert state.status == "pending"
        assert side.process_manager.given_up == 1


def stuck_start(action: str) -> Envelope:
    spec = SPEC.model_copy(update={"stuck": StuckPolicy(action=action)})  # type: ignore[arg-type]  # a literal by name
    order = start()
    assert isinstance(order.data, StartRun)
    return order.model_copy(update={"data": order.data.model_copy(update={"spec": spec})})


def raised() -> Envelope:
    condition = Condition(type="stuck", verdict="idle", since=now(), detail="it sleeps")
    return on_host(ConditionRaised(condition=condition))


async def orders_of_the_policy(side: Plane, run_id: str) -> list[Envelope]:
    return [record for _, record in await side.bus.story(run_id) if record.actor.principal == "policy:stuck"]


async def test_a_stuck_run_is_killed_by_its_policy_once(nats_server: BrokerProcess, tmp_path: Path) -> None:
    async with plane(nats_server.url, tmp_path) as side:
        await side.put(stuck_start("kill"), claim(), spawned(), raised(), raised())
        await handled(side)
        orders = await orders_of_the_policy(side, RUN)
        assert {type(order.data) for order in orders} == {KillRun}
        assert orders[0].subject == subjects.host_command(HOST, RUN)
        assert orders[0].actor.surface == "policy"
        assert "stuck (idle): it sleeps" in str(orders[0].data)


async def test_a_stuck_run_that_only_tells_is_left_alone(nats_server: BrokerProcess, tmp_path: Path) -> None:
    async with plane(nats_server.url, tmp_path) as side:
        await side.put(stuck_start("notify"), claim(), spawned(), raised())
        await handled(side)
        assert await orders_of_the_policy(side, RUN) == []


async def test_a_run_that_has_recovered_meanwhile_is_not_killed(
    nats_server: BrokerProcess, tmp_path: Path
) -> None:
    async with plane(nats_server.url, tmp_path, manage=False) as side:
        await side.put(
            stuck_start("kill"), claim(), spawned(), raised(), on_host(ConditionCleared(type="stuck"))
        )
        await side.settled()
    async with plane(nats_server.url, tmp_path) as side:
        await handled(side)
        assert await orders_of_the_policy(side, RUN) == []


async def test_a_stuck_run_is_restarted_by_its_policy(nats_server: BrokerProcess, tmp_path: Path) -> None:
    async with plane(nats_server.url, tmp_path) as side:
        cause = raised()
        await side.put(stuck_start("restart"), claim(), spawned(), cause)
        await handled(side)
        new = derive_run_id("stuck", cause.id, RUN)
        (order,) = await orders_of_the_policy(side, new)
        assert isinstance(order.data, RestartRun)
        assert (order.data.run_id, order.subject) == (RUN, subjects.host_command(HOST, new))
        run = side.read_model.state(new)
        assert run is not None
        assert run.run is not None
        assert (run.run.status, run.run.restarted_from) == (Status.PENDING, RUN)
