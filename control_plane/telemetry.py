"""Telemetry: the last heartbeat of every host and the last samples of its runs, in memory.

Whether a host is there is judged by this process's own monotonic clock and by when the host's messages arrive, so a
host whose clock is wrong by a day is still online. What the stream had kept from before this process started
tells what was last known, and never that anyone is there now.
"""

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from time import monotonic

from pydantic import ValidationError

from control_plane.history import History
from control_plane.read_model.changes import Ending
from control_plane.read_model.live import Pulse
from control_plane.read_model.schema import moment
from runplane.bus import Bus, Message
from runplane.contract.run import ResourcePoint, Resources
from runplane.contract.subjects import TELEMETRY_STREAM
from runplane.contract.subjects import telemetry as telemetry_subject
from runplane.contract.telemetry import HostTelemetry
from runplane.stamp import now as wall_clock

log = logging.getLogger("control_plane.telemetry")

ABSENT_SECONDS = 10.0
"""After so long without a heartbeat a host is absent."""
MAX_HOSTS = 10_000
MAX_SAMPLED_RUNS = 2_000
"""Runs whose course is kept; of every other run only the last sample is."""
SAMPLES_PER_RUN = 120
MAX_MESSAGE_BYTES = 8 * 2**20


@dataclass(kw_only=True, slots=True)
class _Host:
    last: HostTelemetry
    seen: datetime
    heard: float | None


@dataclass(kw_only=True, slots=True, eq=False)
class HostChanges:
    """An iterator of the hosts whose heartbeat, samples or presence changed; they add up while nobody asks.

    Raises :class:`Ending` when the process is told to end.
    """

    _hosts: set[str] = field(default_factory=set)
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)
    _ended: bool = False

    def __aiter__(self) -> AsyncIterator[frozenset[str]]:
        """Itself."""
        return self

    async def __anext__(self) -> frozenset[str]:
        """The hosts that changed since the last time; waits for one."""
        await self._arrived.wait()
        if self._ended:
            raise Ending
        self._arrived.clear()
        hosts, self._hosts = frozenset(self._hosts), set()
        return hosts

    def end(self) -> None:
        """Nothing more will come."""
        self._ended = True
        self._arrived.set()

    def tell(self, host: str) -> None:
        """Note that a host changed."""
        self._hosts.add(host)
        self._arrived.set()


class Telemetry:
    """Follows the telemetry stream. ``unreadable`` counts messages that were passed over."""

    def __init__(
        self,
        bus: Bus,
        clock: Callable[[], float] = monotonic,
        history: History | None = None,
        absent_seconds: float = ABSENT_SECONDS,
    ) -> None:
        """Nothing happens before :meth:`run`. A host without a heartbeat for ``absent_seconds`` is absent."""
        self._absent_seconds = absent_seconds
        self._bus = bus
        self._clock = clock
        self._history = history
        self._hosts: dict[str, _Host] = {}
        self._host_of_run: dict[str, str] = {}
        self._samples: OrderedDict[str, deque[Resources]] = OrderedDict()
        self._online: set[str] = set()
        self._changed = asyncio.Event()
        self._subscribers: set[HostChanges] = set()
        self.unreadable = 0
        self._ended = False
        self._listening_since: float | None = None

    async def run(self) -> None:
        """Follow the stream for ever."""
        known = await self._bus.last_seq(TELEMETRY_STREAM)
        reader = self._bus.read_telemetry(last_per_subject=True)
        watch = asyncio.create_task(self._watch_presence(), name="presence")
        forget = self._bus.on_wake(self.listen_anew)
        self.listen_anew()
        try:
            async for batch in reader:
                for message in batch:
                    self.take(message, live=message.seq > known)
                if self._history is not None:
                    self._history.flush(wall_clock())
        finally:
            forget()
            watch.cancel()
            with suppress(asyncio.CancelledError):
                await watch
            await reader.close()

    def take(self, message: Message, *, live: bool) -> None:
        """Take one message; one that cannot be read, or speaks for another host, is counted and passed over."""
        try:
            if len(message.payload) > MAX_MESSAGE_BYTES:
                raise ValueError(f"{len(message.payload)} bytes")
            said = HostTelemetry.model_validate_json(message.payload)
            if message.subject != telemetry_subject(said.host):
                raise ValueError(f"it speaks for host {said.host!r}")
        except (ValidationError, ValueError) as error:
            self.unreadable += 1
            log.debug("telemetry on %s passed over: %s", message.subject[:200], error)
            return
        if said.host not in self._hosts and len(self._hosts) >= MAX_HOSTS:
            self.unreadable += 1
            return
        self._keep(said, moment(message.time_ns // 1000), live=live)

    def listen_anew(self) -> None:
        """From now on heartbeats can come: it began, or the broker is reached again."""
        self._listening_since = self._clock()

    @property
    def settled(self) -> bool:
        """Whether heartbeats could have come for so long that a host without one is absent."""
        if self._listening_since is None or self._clock() - self._listening_since <= self._absent_seconds:
            return False
        return self._bus.connected

    @property
    def listening_seconds(self) -> float:
        """For how long heartbeats could have come; 0 while the broker is not reached."""
        if self._listening_since is None or not self._bus.connected:
            return 0.0
        return self._clock() - self._listening_since

    def resources(self, run_id: str) -> Resources | None:
        """The last sample of the run's tree; None where there is none, or the run has ended."""
        host = self._host_of_run.get(run_id)
        return self._hosts[host].last.runs.get(run_id) if host is not None else None

    def runs_of(self, hosts: Collection[str]) -> list[str]:
        """The runs that these hosts sampled last."""
        return [run_id for host in hosts if host in self._hosts for run_id in self._hosts[host].last.runs]

    def samples(self, run_id: str) -> tuple[Resources, ...]:
        """The last samples of the run, oldest first; at most ``SAMPLES_PER_RUN``."""
        return tuple(self._samples.get(run_id, ()))

    def course(self, run_id: str, since: datetime | None = None) -> list[ResourcePoint]:
        """All that is known of what the run used, oldest first: the last samples, coarser points before them."""
        samples = [
            ResourcePoint.model_validate(one.model_dump())
            for one in self.samples(run_id)
            if since is None or one.sampled_at > since
        ]
        if self._history is None:
            return samples
        before = self._history.points(run_id, since)
        if samples:
            first = samples[0].sampled_at
            before = [
                one for one in before if one.sampled_at + timedelta(seconds=one.resolution_seconds) <= first
            ]
        return [*before, *samples]

    def pulse(self, host_id: str) -> Pulse | None:
        """The host's last heartbeat; None where none was ever heard."""
        host = self._hosts.get(host_id)
        if host is None:
            return None
        said = host.last
        return Pulse(
            online=self._is_online(host),
            draining=said.draining,
            last_seen=host.seen,
            agent_id=said.agent_id,
            cpus=said.cpus,
            load=said.load,
            memory_total=said.memory.total,
            memory_available=said.memory.available,
            slots=said.slots.total,
            slots_used=said.slots.used,
            pressure=said.pressure,
        )

    def forget(self, run_id: str) -> None:
        """The run has ended."""
        self._host_of_run.pop(run_id, None)
        self._samples.pop(run_id, None)
        if self._history is not None:
            self._history.end(run_id)

    @asynccontextmanager
    async def subscribe(self) -> AsyncIterator[HostChanges]:
        """Be told which hosts changed, from now on until the block ends."""
        changes = HostChanges()
        self._subscribers.add(changes)
        if self._ended:
            changes.end()
        try:
            yield changes
        finally:
            self._subscribers.discard(changes)

    def end_subscriptions(self) -> None:
        """Tell every subscriber that nothing more will come."""
        self._ended = True
        for subscriber in self._subscribers:
            subscriber.end()

    def _keep(self, said: HostTelemetry, seen: datetime, *, live: bool) -> None:
        before = self._hosts.get(said.host)
        if before is not None:
            for run_id in before.last.runs.keys() - said.runs.keys():
                if self._host_of_run.get(run_id) == said.host:
                    self._host_of_run.pop(run_id)
        heard = self._clock() if live else None
        self._hosts[said.host] = _Host(last=said, seen=seen, heard=heard)
        for run_id, sample in said.runs.items():
            self._host_of_run[run_id] = said.host
            self._keep_sample(run_id, sample)
        if live:
            self._online.add(said.host)
            self._changed.set()
        self._tell(said.host)

    def _keep_sample(self, run_id: str, sample: Resources) -> None:
        course = self._samples.get(run_id)
        if course is None:
            course = self._samples[run_id] = deque(maxlen=SAMPLES_PER_RUN)
            if len(self._samples) > MAX_SAMPLED_RUNS:
                self._samples.popitem(last=False)
        if not course or course[-1].sampled_at != sample.sampled_at:
            course.append(sample)
            if self._history is not None:
                self._history.add(run_id, sample)

    async def _watch_presence(self) -> None:
        """Tell when a host has fallen silent: wait for the first of those online that may."""
        while True:
            for host_id in [host_id for host_id in self._online if not self._is_online(self._hosts[host_id])]:
                self._online.discard(host_id)
                log.warning("host %s is absent: no heartbeat for %g s", host_id, self._absent_seconds)
                self._tell(host_id)
            self._changed.clear()
            if not self._online:
                await self._changed.wait()
                continue
            first = min(self._hosts[host_id].heard or 0.0 for host_id in self._online)
            await asyncio.sleep(max(0.01, first + self._absent_seconds - self._clock()))

    def _is_online(self, host: _Host) -> bool:
        return host.heard is not None and self._clock() - host.heard <= self._absent_seconds

    def _tell(self, host_id: str) -> None:
        for subscriber in self._subscribers:
            subscriber.tell(host_id)
