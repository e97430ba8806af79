import asyncio
from typing import Any, cast

import pytest

from control_plane import telemetry
from control_plane.telemetry import ABSENT_SECONDS, Telemetry
from runplane.bus import Bus
from runplane.contract.run import Resources
from runplane.contract.telemetry import HostTelemetry, Memory, Slots
from tests.log_messages import garbage
from tests.records import HOST, OTHER_RUN, RUN, at

pytestmark = pytest.mark.anyio


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def heard(clock: Clock) -> Telemetry:
    return Telemetry(cast("Bus", None), clock)


def said(*runs: str, host: str = HOST, second: float = 0, **changes: Any) -> bytes:
    beat = HostTelemetry(
        host=host,
        agent_id="agent-1",
        boot_id="boot-1",
        time=at(second),
        load=(0.5, 0.4, 0.3),
        cpus=2,
        memory=Memory(total=100, available=40),
        slots=Slots(total=4, used=len(runs)),
        runs={run: Resources(cpu_percent=second, rss_bytes=1, sampled_at=at(second)) for run in runs},
    )
    return beat.model_copy(update=changes).model_dump_json().encode()


def take(heard: Telemetry, payload: bytes, *, host: str = HOST, live: bool = True) -> None:
    heard.take(garbage(payload, 7, f"rp.tel.{host}"), live=live)


async def test_the_last_sample_and_heartbeat_are_kept(heard: Telemetry) -> None:
    take(heard, said(RUN, second=1))
    take(heard, said(RUN, second=2))

    sample = heard.resources(RUN)
    assert sample is not None
    assert sample.cpu_percent == 2
    assert [one.cpu_percent for one in heard.samples(RUN)] == [1, 2]
    pulse = heard.pulse(HOST)
    assert pulse is not None
    assert (pulse.online, pulse.slots, pulse.slots_used, pulse.memory_available) == (True, 4, 1, 40)


async def test_a_run_that_is_no_longer_sampled_has_no_sample(heard: Telemetry) -> None:
    take(heard, said(RUN, OTHER_RUN))
    take(heard, said(OTHER_RUN))
    assert heard.resources(RUN) is None
    assert heard.resources(OTHER_RUN) is not None

    heard.forget(OTHER_RUN)
    assert heard.resources(OTHER_RUN) is None
    assert heard.samples(OTHER_RUN) == ()


async def test_silence_makes_a_host_absent_by_this_clock_alone(heard: Telemetry, clock: Clock) -> None:
    take(heard, said(time=at(-86_400 * 365)))
    clock.now += ABSENT_SECONDS
    pulse = heard.pulse(HOST)
    assert pulse is not None
    assert pulse.online
    clock.now += 0.001
    pulse = heard.pulse(HOST)
    assert pulse is not None
    assert not pulse.online


async def test_what_the_stream_had_kept_makes_nobody_online(heard: Telemetry) -> None:
    take(heard, said(RUN), live=False)

    pulse = heard.pulse(HOST)
    assert pulse is not None
    assert not pulse.online
    assert heard.resources(RUN) is not None


@pytest.mark.parametrize("payload", [b"", b"{", b"[" * 10_000, said(host="h2"), b'{"host": "h1"}', b"\xff"])
async def test_what_cannot_be_read_or_speaks_for_another_is_counted(heard: Telemetry, payload: bytes) -> None:
    take(heard, payload)

    assert heard.unreadable == 1
    assert heard.pulse(HOST) is None


async def test_who_looks_is_told_of_heartbeats_and_of_silence() -> None:
    heard = Telemetry(cast("Bus", None), absent_seconds=0.05)
    watch = asyncio.create_task(heard._watch_presence())
    async with heard.subscribe() as changes:
        take(heard, said())
        assert await anext(changes) == {HOST}
        async with asyncio.timeout(5):
            assert await anext(changes) == {HOST}
        pulse = heard.pulse(HOST)
        assert pulse is not None
        assert not pulse.online
    watch.cancel()
    await asyncio.wait({watch})


async def test_memory_is_bounded(heard: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry, "MAX_HOSTS", 2)
    monkeypatch.setattr(telemetry, "MAX_SAMPLED_RUNS", 3)
    for number in range(5):
        take(heard, said(host=f"h{number}"), host=f"h{number}")
    for number in range(10):
        take(heard, said(f"run_{number:012x}", host="h1", second=number), host="h1")

    assert [heard.pulse(f"h{number}") is not None for number in range(5)] == [True, True, False, False, False]
    assert len(heard._samples) == 3
    assert len(heard._host_of_run) == 1
