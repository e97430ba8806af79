import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from control_plane.read_model import ReadModel, changes
from runplane.contract.commands import RestartRun
from runplane.contract.events import ProgressReported, RunCompleted
from runplane.core.state import RunState
from tests.log_messages import message, messages
from tests.records import OTHER_RUN, RUN, SPEC, at, claim, on_host, record, spawned, start

pytestmark = pytest.mark.anyio


@pytest.fixture
def model(tmp_path: Path) -> Iterator[ReadModel]:
    opened = ReadModel(tmp_path / "read_model.sqlite")
    yield opened
    opened.close()


async def test_a_position_is_waited_for_and_given_up_after_the_limit(model: ReadModel) -> None:
    waiting = asyncio.create_task(model.wait_for(2, 5))
    await asyncio.sleep(0)
    model.project([message(start(), 1)])
    assert not await model.wait_for(2, 0.01)
    model.project([message(claim(), 2)])

    assert await waiting
    assert await model.wait_for(1, 0)
    assert model._changes._positions == []


async def test_who_stops_waiting_is_forgotten(model: ReadModel) -> None:
    waits = [
        asyncio.create_task(model.wait_for(5, 60)),
        asyncio.create_task(model.wait_until(RUN, lambda _: False, 60)),
    ]
    await asyncio.sleep(0)
    for wait in waits:
        wait.cancel()
    await asyncio.gather(*waits, return_exceptions=True)

    assert model._changes._positions == []
    assert model._changes._waiting == {}


async def test_a_run_is_waited_for_also_through_a_state_in_the_middle_of_a_batch(model: ReadModel) -> None:
    waiting = asyncio.create_task(model.wait_until(RUN, lambda state: state.status == "starting", 5))
    await asyncio.sleep(0)
    model.project(messages([start(), claim(), spawned()]))

    state = await waiting
    assert state.status == "starting"
    assert (await model.wait_until(RUN, lambda state: state.status == "running", 0)).status == "running"


async def test_a_run_that_does_not_come_so_far_is_not_waited_for_for_ever(model: ReadModel) -> None:
    with pytest.raises(TimeoutError):
        await model.wait_until(RUN, lambda _: True, 0.01)


async def test_a_mistake_of_the_one_who_waits_reaches_only_them(model: ReadModel) -> None:
    def mistaken(state: RunState) -> bool:
        raise LookupError(str(state.status))

    waiting = asyncio.create_task(model.wait_until(RUN, mistaken, 5))
    await asyncio.sleep(0)
    model.project([message(start(), 1)])

    with pytest.raises(LookupError):
        await waiting


async def test_a_subscriber_is_told_of_what_it_asked_for(model: ReadModel) -> None:
    restart = record(RestartRun(run_id=RUN, new_run_id=OTHER_RUN, spec=SPEC), run_id=OTHER_RUN)
    async with model.subscribe(run_id=RUN) as of_run, model.subscribe(types={"RunClaimed"}) as claims:
        model.project(messages([start(), start(OTHER_RUN), claim(), restart]))

        told = [await anext(of_run) for _ in range(3)]
        assert [(change.seq, change.envelope.type if change.envelope else None) for change in told] == [
            (1, "StartRun"),
            (3, "RunClaimed"),
            (4, "RestartRun"),
        ]
        assert told[1].run is not None
        assert told[1].run.status == "starting"
        assert (await anext(claims)).seq == 3
    assert model._changes.subscribers == 0


async def test_a_slow_subscriber_learns_where_to_read_on(
    model: ReadModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "QUEUE_LIMIT", 3)
    log = [start(), claim(), spawned(), *(on_host(ProgressReported(done=n), time=at(n)) for n in range(6))]
    async with model._changes.subscribe(None, None, limit=3) as slow:
        model.project(messages(log[:1]))
        assert (await anext(slow)).seq == 1
        model.project(messages(log))
        model.project([message(on_host(RunCompleted()), 10)])

        marker = await anext(slow)
        assert (marker.envelope, marker.seq, marker.missed) == (None, 1, 6)
        assert [(await anext(slow)).seq for _ in range(3)] == [8, 9, 10]
