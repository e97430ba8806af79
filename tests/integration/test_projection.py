import asyncio
import os
import random
import shutil
import sqlite3
import sys
import time
from pathlib import Path

import pytest

from control_plane.projector import LogMismatch
from control_plane.read_model import EventFilter, ReadModel
from control_plane.rebuild import rebuild
from runplane.bus import Bus
from runplane.contract.envelope import Envelope
from runplane.contract.events import ProgressReported, RunCompleted
from runplane.contract.subjects import host_event
from runplane.core.fold import fold
from tests.broker_process import BrokerProcess
from tests.plane import LIMIT, plane, put
from tests.records import HOST, RUN, at, claim, on_host, spawned, start
from tests.running_system import REPOSITORY

pytestmark = pytest.mark.anyio


def life(number: int) -> list[Envelope]:
    run_id = f"run_{number:012x}"
    told = [
        start(run_id),
        *(
            on_host(ProgressReported(done=step, total=5), run_id=run_id, time=at(number + step))
            for step in range(5)
        ),
    ]
    return [
        record.model_copy(update={"id": f"{number:016x}{index:016x}"}) for index, record in enumerate(told)
    ]


async def test_the_projection_is_the_fold_of_the_log(nats_server: BrokerProcess, tmp_path: Path) -> None:
    async with plane(nats_server.url, tmp_path, manage=False) as side:
        await side.put(
            start(), claim(), spawned(), on_host(ProgressReported(done=1)), on_host(RunCompleted())
        )
        state = await side.until(RUN, "completed")

        assert state == fold(await side.bus.story(RUN))
        assert side.read_model.position == 5


async def test_a_single_record_is_seen_at_once(nats_server: BrokerProcess, tmp_path: Path) -> None:
    async with plane(nats_server.url, tmp_path, manage=False) as side:
        taken = []
        for number in range(50):
            stored = await side.bus.publish(start(f"run_{number:012x}"))
            began = time.perf_counter()
            assert await side.read_model.wait_for(stored.seq, LIMIT)
            taken.append(time.perf_counter() - began)

    assert sorted(taken)[25] < 0.05


async def test_unreadable_records_are_set_aside_and_the_loop_goes_on(
    nats_server: BrokerProcess, tmp_path: Path
) -> None:
    garbage = [
        b"{",
        b"\xff\xfe\x00",
        b"[" * 10_000,
        b'{"a": NaN}',
        b"",
        start().encode(),
        b'{"schema_version": 99}',
    ]
    async with plane(nats_server.url, tmp_path) as side:
        await side.put(start())
        for payload in garbage:
            await side.bus.publish_bytes(host_event(HOST, RUN), payload)
        await side.put(claim(), spawned())
        state = await side.until(RUN, "running")
        await side.settled()

        assert side.read_model.set_aside_count == len(garbage)
        assert state == fold(await side.bus.story(RUN))
        assert not any(task.done() for task in side.loops.values())


async def test_kill_9_at_any_moment_neither_skips_nor_repeats(
    nats_server: BrokerProcess, tmp_path: Path
) -> None:
    path = tmp_path / "read_model.sqlite"
    chance = random.Random(17)
    bus = await Bus.connect(nats_server.url, name="test")
    await bus.ensure_streams()
    env = {**os.environ, "RUNPLANE_NATS_URL": nats_server.url, "PYTHONPATH": str(REPOSITORY)}

    async def position() -> int:
        try:
            with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as reader:
                row = reader.execute("SELECT value FROM meta WHERE name = 'position'").fetchone()
            return int(row[0])
        except sqlite3.Error:
            return 0

    written = 0
    for _ in range(6):
        projector = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.plane", str(path), env=env, cwd=REPOSITORY
        )
        try:
            before = await position()
            for _ in range(60):
                written += 1
                await put(bus, life(written))
            async with asyncio.timeout(LIMIT):
                while await position() <= before:
                    await asyncio.sleep(chance.random() / 100)
            await asyncio.sleep(chance.random() / 20)
        finally:
            projector.kill()
            await projector.wait()

    async with plane(nats_server.url, tmp_path, manage=False) as side:
        await side.settled()
        assert [seq for seq, _ in side.read_model.events(EventFilter(limit=10_000))] == list(
            range(1, 6 * written + 1)
        )
        report = await rebuild(side.bus, side.read_model)
        assert (report.equal, report.runs, report.position) == (True, written, 6 * written)
    await bus.close()


async def test_it_goes_on_after_the_broker_was_killed(nats_server: BrokerProcess, tmp_path: Path) -> None:
    async with plane(nats_server.url, tmp_path) as side:
        await side.put(start())
        await side.until(RUN, "pending")
        nats_server.restart()
        await side.put(claim(), spawned())
        await side.until(RUN, "running")

        assert not any(task.done() for task in side.loops.values())


async def test_a_log_that_is_older_than_the_read_model_is_refused(
    nats_server: BrokerProcess, tmp_path: Path
) -> None:
    store = nats_server.home.nats
    async with plane(nats_server.url, tmp_path, manage=False) as side:
        await side.put(start(), claim())
        await side.settled()
    nats_server.stop()
    shutil.copytree(store, tmp_path / "backup")
    nats_server.start()
    async with plane(nats_server.url, tmp_path, manage=False) as side:
        await side.put(spawned())
        await side.settled()
    nats_server.stop()
    shutil.rmtree(store)
    shutil.copytree(tmp_path / "backup", store)
    nats_server.start()

    async with plane(nats_server.url, tmp_path, manage=False) as side:
        with pytest.raises(LogMismatch, match=r"ends at 2, but .* folded up to 3: .* restored"):
            await asyncio.wait_for(side.loops["projector"], LIMIT)

    # The restored log went on by itself: as long as before, and yet another one.
    async with plane(nats_server.url, tmp_path, manage=False, project=False) as side:
        await side.put(on_host(ProgressReported(done=1)), on_host(ProgressReported(done=2)))
    async with plane(nats_server.url, tmp_path, manage=False) as side:
        with pytest.raises(LogMismatch, match="another record at position 3"):
            await asyncio.wait_for(side.loops["projector"], LIMIT)
        assert side.read_model.position == 3


async def test_a_log_that_goes_back_while_the_plane_runs_is_refused(
    nats_server: BrokerProcess, tmp_path: Path
) -> None:
    store = nats_server.home.nats
    async with plane(nats_server.url, tmp_path, manage=False) as side:
        await side.put(start())
        await side.settled()
        nats_server.stop()
        shutil.copytree(store, tmp_path / "backup")
        nats_server.start()
        await side.put(claim(), spawned())
        await side.settled()
        nats_server.kill()
        shutil.rmtree(store)
        shutil.copytree(tmp_path / "backup", store)
        nats_server.start()

        with pytest.raises(LogMismatch, match="ends at 1"):
            await asyncio.wait_for(side.loops["projector"], LIMIT)


@pytest.mark.parametrize("damage", ["garbage", "schema", "empty"])
async def test_a_file_that_cannot_be_used_is_set_aside_and_built_anew(
    nats_server: BrokerProcess, tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with plane(nats_server.url, tmp_path, manage=False) as side:
        await side.put(start(), claim())
        await side.settled()
        expected = side.read_model.state(RUN)
    file = tmp_path / "read_model.sqlite"
    if damage == "garbage":
        file.write_bytes(b"not a database at all" * 1000)
    elif damage == "empty":
        file.write_bytes(b"")
    else:
        with sqlite3.connect(file) as connection:
            connection.execute("UPDATE meta SET value = '0' WHERE name = 'schema'")
        connection.close()

    async with plane(nats_server.url, tmp_path, manage=False) as side:
        await side.settled()
        assert side.read_model.state(RUN) == expected
    assert "built anew" in caplog.text
    assert (tmp_path / "read_model.sqlite.set-aside").exists()


async def test_a_full_disk_delays_and_corrupts_nothing(nats_server: BrokerProcess, tmp_path: Path) -> None:
    async with plane(nats_server.url, tmp_path, manage=False) as side:
        await side.put(start())
        await side.settled()
        writer = side.read_model._writer
        pages = writer.execute("PRAGMA page_count").fetchone()[0]
        writer.execute(f"PRAGMA max_page_count = {pages}")
        for number in range(1, 60):
            await put(side.bus, life(number))
        async with asyncio.timeout(LIMIT):
            while side.projector.trouble is None:
                await asyncio.sleep(0.01)
        assert "full" in side.projector.trouble
        assert side.read_model.run(RUN) is not None

        writer.execute("PRAGMA max_page_count = 1000000")
        await side.settled()
        assert side.projector.trouble is None
        assert (await rebuild(side.bus, side.read_model)).equal


async def test_a_rebuild_is_equal_also_while_the_log_goes_on(
    nats_server: BrokerProcess, tmp_path: Path
) -> None:
    async with plane(nats_server.url, tmp_path, manage=False) as side:
        for number in range(1, 40):
            await put(side.bus, life(number))

        async def go_on() -> None:
            for number in range(40, 80):
                await put(side.bus, life(number))

        going_on = asyncio.create_task(go_on())
        report = await rebuild(side.bus, side.read_model)
        await going_on

        assert report.equal, report.first_difference
        assert report.position >= 39
        assert list(tmp_path.glob("rebuild-*")) == []


@pytest.mark.parametrize(
    ("tampering", "field"),
    [
        ("UPDATE states SET state = json_set(state, '$.run.status', 'completed')", "state.run.status"),
        ("DELETE FROM states", "row"),
        ("UPDATE runs SET workflow = 'other'", "workflow"),
        ("UPDATE records SET payload = replace(payload, 'operator', 'nobody')", "payload.actor.principal"),
        ("DELETE FROM records WHERE seq = 1", "row"),
    ],
)
async def test_a_rebuild_names_the_first_row_that_was_tampered_with(
    nats_server: BrokerProcess, tmp_path: Path, tampering: str, field: str
) -> None:
    async with plane(nats_server.url, tmp_path, manage=False) as side:
        await side.put(start(), claim())
        await side.settled()
        with sqlite3.connect(tmp_path / "read_model.sqlite") as connection:
            connection.execute(tampering)
        connection.close()
        report = await rebuild(side.bus, side.read_model)

        assert not report.equal
        assert report.first_difference is not None
        assert report.first_difference.field == field


async def test_an_ended_model_is_opened_again_where_it_was(
    nats_server: BrokerProcess, tmp_path: Path
) -> None:
    async with plane(nats_server.url, tmp_path, manage=False) as side:
        await side.put(start())
        await side.settled()
    opened = ReadModel(tmp_path / "read_model.sqlite")
    assert opened.position == 1
    opened.close()
