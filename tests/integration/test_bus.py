"""The bus against a real broker: stored once, compared, read without gaps, through the broker's death."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runplane.bus import Bus, CompareFailed, Expect, Message, Reader
from runplane.contract import subjects
from runplane.contract.envelope import Envelope
from runplane.contract.errors import BrokerRefused, Unavailable
from runplane.contract.events import RunCanceled
from runplane.contract.run import Actor
from runplane.stamp import new_run_id, stamp
from tests.broker_process import BrokerProcess

pytestmark = pytest.mark.anyio
RUN = "run_0123456789ab"


def fact(number: int, run_id: str = RUN) -> Envelope:
    actor = Actor(principal="operator")
    return stamp(
        RunCanceled(reason=str(number)), subject=subjects.plane_event(run_id), source="test", actor=actor
    )


@pytest.fixture
async def bus(nats_server: BrokerProcess) -> AsyncIterator[Bus]:
    connected = await Bus.connect(nats_server.url, name="test", sys_url=nats_server.sys_url)
    await connected.ensure_streams()
    yield connected
    await connected.close()


async def test_a_record_published_twice_is_stored_once(bus: Bus) -> None:
    record = fact(1)
    first, second = await bus.publish(record), await bus.publish(record)
    assert (first.seq, first.duplicate) == (1, False)
    assert (second.seq, second.duplicate) == (1, True)


async def test_compare_and_set_lets_one_win(bus: Bus) -> None:
    results = await asyncio.gather(
        *(bus.publish(fact(number), Expect(subjects.run_events(RUN), 0)) for number in range(10)),
        return_exceptions=True,
    )
    assert sum(isinstance(result, CompareFailed) for result in results) == 9


async def test_a_compared_record_published_again_is_known_as_ours(bus: Bus) -> None:
    record = fact(1)
    await bus.publish(record, Expect(subjects.run_events(RUN), 0))
    again = await bus.publish(record, Expect(subjects.run_events(RUN), 0))
    assert again.duplicate


async def test_the_log_refuses_to_be_purged(bus: Bus) -> None:
    await bus.publish(fact(1))
    with pytest.raises(Exception, match="purge"):
        await bus._js.purge_stream(subjects.LOG_STREAM)
    assert await bus.last_seq() == 1


async def test_a_reader_no_more_without_a_gap_after_the_broker_was_killed(
    bus: Bus, nats_server: BrokerProcess
) -> None:
    reader = bus.read_log()
    seen: list[int] = []

    async def read(count: int) -> None:
        while len(seen) < count:
            seen.extend(message.seq for message in await reader.next(timeout=1.0))

    for number in range(5):
        await bus.publish(fact(number))
    await asyncio.wait_for(read(5), 10)
    nats_server.kill()
    publishing = [asyncio.create_task(bus.publish(fact(number), timeout=20)) for number in range(5, 10)]
    nats_server.start()
    await asyncio.gather(*publishing)
    await asyncio.wait_for(read(10), 15)
    await reader.close()
    assert seen == list(range(1, 11))


async def test_a_publish_without_a_broker_says_so_within_its_limit(
    bus: Bus, nats_server: BrokerProcess
) -> None:
    nats_server.kill()
    with pytest.raises(Unavailable, match="did not store"):
        await bus.publish(fact(1), timeout=0.5)


async def test_a_durable_consumer_hands_over_again_what_was_not_acknowledged(bus: Bus) -> None:
    for number in range(3):
        await bus.publish(fact(number))
    consumer = await bus.durable("work", subjects.ALL_EVENTS, batch=1)
    first = (await consumer.next(timeout=5))[0]
    await first.nak()
    counts: dict[int, int] = {}
    while len(counts) < 3 or counts[1] < 2:
        for delivery in await consumer.next(timeout=5):
            counts[delivery.seq] = delivery.delivery_count
            await delivery.ack()
    await consumer.close()
    assert counts == {1: 2, 2: 1, 3: 1}


async def test_a_story_is_one_runs_records_only(bus: Bus) -> None:
    other = new_run_id()
    for number in range(3):
        await bus.publish(fact(number))
        await bus.publish(fact(number, other))
    story = await bus.story(RUN)
    assert [seq for seq, _ in story] == [1, 3, 5]
    assert await bus.story(new_run_id()) == []


async def test_a_part_of_a_story_is_never_taken_for_the_whole(
    bus: Bus, nats_server: BrokerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker dies when it has said how much there is, and before it hands that over."""
    await bus.publish(fact(1))
    bus._js._timeout = 0.3
    read = Reader.next

    async def read_from_a_dead_one(reader: Reader, timeout: float) -> list[Message]:
        nats_server.kill()
        return await read(reader, timeout)

    monkeypatch.setattr(Reader, "next", read_from_a_dead_one)
    with pytest.raises(Unavailable, match="did not hand over all"):
        await bus.story(RUN)
    with pytest.raises(Unavailable, match="did not look up"):
        await bus.last_message(subjects.LOG_STREAM, subjects.run_story(RUN))


async def test_the_last_message_is_found_by_subject_and_by_filter(bus: Bus) -> None:
    last = fact(2)
    assert await bus.last_message(subjects.LOG_STREAM, subjects.plane_event(RUN)) is None
    await bus.publish(fact(1))
    await bus.publish(last)
    for subject_filter in (subjects.plane_event(RUN), subjects.run_story(RUN)):
        found = await bus.last_message(subjects.LOG_STREAM, subject_filter)
        assert found is not None
        assert (found.seq, found.payload, found.subject) == (2, last.encode(), subjects.plane_event(RUN))
        assert found.headers["Nats-Msg-Id"] == last.id


async def test_a_flood_of_large_messages_is_read_whole_on_one_connection(
    bus: Bus, nats_server: BrokerProcess
) -> None:
    subject = subjects.output("h1", RUN, 1, "stdout")
    piece = b"x" * 2**20
    for _ in range(4):
        await asyncio.gather(*(bus.publish_bytes(subject, piece, timeout=20) for _ in range(40)))
    for reader in (bus.read_output(subject), bus._reader(subjects.OUTPUT_STREAM, 1, subject)):
        read = 0
        while read < 160:
            messages = await reader.next(timeout=5)
            assert messages
            read += len(messages)
            await asyncio.sleep(0)
        await reader.close()
    assert "Slow Consumer" not in nats_server.log()


async def test_telemetry_begins_with_the_last_beat_of_each_host(bus: Bus) -> None:
    for host in ("a", "b"):
        for number in range(3):
            await bus.publish_bytes(subjects.telemetry(host), f"{host}{number}".encode())
    reader = bus.read_telemetry()
    got: list[bytes] = []
    while len(got) < 2:
        got.extend(message.payload for message in await reader.next(timeout=2))
    await reader.close()
    assert sorted(got) == [b"a2", b"b2"]


async def test_nobody_there_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(Unavailable, match="runplane up"):
        await Bus.connect("nats://127.0.0.1:1", name="test", timeout=1.0)


async def test_a_broker_without_jetstream_is_refused_with_the_reason(tmp_path: Path) -> None:
    plain = BrokerProcess(tmp_path / "plain")
    conf = plain.home.path / "nats" / "nats.conf"
    text = conf.read_text()
    start = text.index("jetstream")
    conf.write_text(text[:start] + text[text.index("}", start) + 1 :].replace("jetstream: enabled", ""))
    plain.start()
    try:
        with pytest.raises(BrokerRefused, match="JetStream"):
            await Bus.connect(plain.url, name="test")
    finally:
        plain.stop()


async def test_an_older_broker_is_refused_with_the_reason(
    nats_server: BrokerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runplane.bus.connection.OLDEST_BROKER", (99, 0, 0))
    with pytest.raises(BrokerRefused, match=r"needs 99\.0\.0"):
        await Bus.connect(nats_server.url, name="test")


async def test_a_cancellation_that_comes_with_the_answer_is_not_lost(bus: Bus) -> None:
    """A loop that publishes all the time is ended at whatever moment it is told to."""

    async def publish_for_ever(no_more: asyncio.Event) -> None:
        while not no_more.is_set():
            await bus.publish_bytes("rp.tel.h1", b"{}")

    for turn in range(100):
        no_more = asyncio.Event()
        loop = asyncio.create_task(publish_for_ever(no_more))
        for _ in range(turn):
            await asyncio.sleep(0)
        await bus.publish_bytes("rp.tel.h2", b"{}")
        loop.cancel()
        ended, _ = await asyncio.wait([loop], timeout=20)
        no_more.set()
        assert ended, f"the cancellation in turn {turn} was dropped"
