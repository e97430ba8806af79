"""Who serves as this host: one agent at a time, whatever home it has. Used by the composition root.

Rules. Joining is a compare-and-set on the host's own facts, so of two that come at once one does. Who finds another
agent joined listens for its heartbeat first: one that beats is not replaced, and the newcomer is refused with both
named; one that is silent (its machine died, say) is. An agent that was silent only for the others (cut off, stopped)
sees in the log that it was replaced, and ends; its runs live on and are its own to take up again. No clocks are
compared: what counts is whether a heartbeat comes, and the order of the log.
"""

import asyncio
import logging
import os
import platform
import socket
from pathlib import Path

from agent.outbox.heartbeat import memory
from agent.process.durable import create_file
from agent.settings import MOST_BEAT_SECONDS, Settings
from runplane.bus import Bus, CompareFailed, Expect, Message
from runplane.contract.envelope import Unreadable, parse
from runplane.contract.errors import Conflict, Unavailable
from runplane.contract.events import HostJoined, HostLeft
from runplane.contract.run import Actor, AgentRef
from runplane.contract.subjects import LOG_STREAM, host_presence
from runplane.contract.telemetry import HostTelemetry
from runplane.stamp import new_record_id, stamp

log = logging.getLogger("agent.presence")

_TRIES = 5
_BEATS_MISSED = 2.5
_LEAST_SILENCE_SECONDS = 2.0
_LOOK_SECONDS = 5.0
_PAUSE_SECONDS = 1.0


class HostTaken(Conflict):
    """Another agent serves as this host."""

    code = "host_taken"


def installation_of(home: Path) -> str:
    """What names the agent's home through all its starts: made once, kept in ``installation``."""
    name = "installation"
    directory = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        create_file(directory, name, new_record_id().encode())
    finally:
        os.close(directory)
    return (home / name).read_text().strip()


def this_agent(home: Path, agent_id: str, boot_id: str) -> AgentRef:
    """How this agent is named to others."""
    return AgentRef(
        agent_id=agent_id,
        installation=installation_of(home),
        boot_id=boot_id,
        pid=os.getpid(),
        machine=socket.gethostname(),
        home=str(home),
    )


class Presence:
    """Of one start of the agent."""

    def __init__(self, bus: Bus, settings: Settings, me: AgentRef, *, mechanism: str, version: str) -> None:
        """Nobody is told of anything before :meth:`join`."""
        self._bus = bus
        self._settings = settings
        self._me = me
        self._mechanism = mechanism
        self._version = version
        self._subject = host_presence(settings.host)
        self._joined_at = 0

    async def join(self) -> None:
        """Serve as this host from now on; while the broker is away, try again. Raises :class:`HostTaken`."""
        while True:
            try:
                return await self._join()
            except Unavailable as error:
                log.warning("joining as host %s waits for the broker: %s", self._settings.host, error.message)
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _join(self) -> None:
        for _ in range(_TRIES):
            last = await self._bus.last_message(LOG_STREAM, self._subject)
            other = self._other(last)
            if other is not None and await self._beats(other):
                raise self._refused(other)
            try:
                stored = await self._publish(self._joined(), Expect(self._subject, last.seq if last else 0))
            except CompareFailed:
                continue
            self._joined_at = stored
            return
        raise HostTaken(
            f"other agents join as host {self._settings.host} all the time: give this one another --host-id"
        )

    async def until_replaced(self) -> None:
        """Return never; raises :class:`HostTaken` when another agent has joined as this host."""
        async with self._bus.read_log(self._joined_at + 1, self._subject) as reader:
            async for batch in reader:
                for message in batch:
                    fact = _fact(message)
                    if isinstance(fact, HostJoined) and fact.agent_id != self._me.agent_id:
                        raise self._replaced(fact)

    async def leave(self, timeout: float) -> None:
        """Say that this agent is being stopped in good order."""
        await self._publish(
            HostLeft(host=self._settings.host, agent_id=self._me.agent_id), None, timeout=timeout
        )

    async def _publish(
        self, fact: HostJoined | HostLeft, expect: Expect | None, timeout: float = 10.0
    ) -> int:
        envelope = stamp(
            fact,
            subject=self._subject,
            source=f"host/{self._settings.host}",
            actor=Actor(principal=f"host:{self._settings.host}", surface="policy"),
        )
        return (await self._bus.publish(envelope, expect, timeout=timeout)).seq

    def _other(self, last: Message | None) -> HostJoined | None:
        """The agent that joined last, unless it has left, or is an earlier start of this one.

        An earlier start in this home and since this boot is dead: the home is locked.
        """
        fact = _fact(last) if last is not None else None
        if not isinstance(fact, HostJoined):
            return None
        before = fact.agent
        mine = (self._me.installation, self._me.boot_id)
        return None if before is not None and (before.installation, before.boot_id) == mine else fact

    async def _beats(self, other: HostJoined) -> bool:
        """Whether a heartbeat of the other one comes while we listen."""
        loop = asyncio.get_running_loop()
        last = 0
        async with self._bus.read_telemetry(host=self._settings.host) as reader:
            deadline = loop.time() + _LOOK_SECONDS
            while (left := deadline - loop.time()) > 0:
                for message in await reader.next(timeout=left):
                    beat = _beat(message)
                    if beat is None or beat.agent_id != other.agent_id:
                        continue
                    if last:
                        return True
                    last = message.seq
                    silence = _BEATS_MISSED * min(MOST_BEAT_SECONDS, beat.interval_seconds)
                    deadline = loop.time() + max(_LEAST_SILENCE_SECONDS, silence)
        log.warning("%s serves as host %s no more: no heartbeat came", _named(other), self._settings.host)
        return False

    def _joined(self) -> HostJoined:
        settings = self._settings
        return HostJoined(
            host=settings.host,
            agent_id=self._me.agent_id,
            boot_id=self._me.boot_id,
            agent=self._me,
            pools=settings.pools,
            slots=settings.slots,
            version=self._version,
            platform=f"{platform.system()} {platform.release()} {platform.machine()}",
            cpus=os.cpu_count() or 1,
            memory_bytes=memory().total,
            mechanism=self._mechanism,
        )

    def _refused(self, other: HostJoined) -> HostTaken:
        return HostTaken(
            f"host {self._settings.host} is served by {_named(other)}, so this one (pid {self._me.pid} on "
            f"{self._me.machine}, home {self._me.home}) is refused: give it another --host-id, or stop the other one "
            f"first. Runs that it had started live on"
        )

    def _replaced(self, other: HostJoined) -> HostTaken:
        return HostTaken(
            f"{_named(other)} has joined as host {self._settings.host} while this one (pid {self._me.pid} on "
            f"{self._me.machine}, home {self._me.home}) was not heard from, so this one ends. Its runs live on: stop "
            f"the other one and start this one again to have them watched, or end them with runplane kill"
        )


def _fact(message: Message) -> object:
    try:
        return parse(message.payload, message.subject).data
    except Unreadable:
        return None


def _beat(message: Message) -> HostTelemetry | None:
    try:
        return HostTelemetry.model_validate_json(message.payload)
    except ValueError:
        return None


def _named(joined: HostJoined) -> str:
    agent = joined.agent
    if agent is None:
        return f"another agent (id {joined.agent_id[:12]}, boot {joined.boot_id[:8]})"
    return f"another agent (pid {agent.pid} on {agent.machine}, home {agent.home})"
