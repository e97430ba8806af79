"""The agent's composition root: reads the settings, wires the parts, recovers, serves until told to stop.

Stopping lets go of the runs; they live on and are taken up by the next start. ``python -m agent.main`` runs it.
"""

import asyncio
import contextlib
import fcntl
import logging
import os
import signal
import sys
from collections.abc import Coroutine, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from agent import failpoint
from agent.consumer import OrderConsumer
from agent.file_watcher import FileWatcher
from agent.hall import Hall
from agent.lease import Lease
from agent.outbox import journal
from agent.outbox.heartbeat import Heartbeat
from agent.outbox.output_shipper import OutputShipper
from agent.outbox.publisher import Publisher
from agent.presence import Presence, this_agent
from agent.process.identity import current_boot
from agent.process.launcher import Launcher
from agent.retention import Retention
from agent.settings import Settings, from_environment
from agent.slots import Slots
from agent.supervisor import Supervisor
from runplane.bus import Bus
from runplane.contract.errors import Conflict, InvalidInput, RunplaneError, Unavailable
from runplane.contract.telemetry import Slots as SlotFigures
from runplane.stamp import new_record_id

log = logging.getLogger("agent")

_CONNECT_SECONDS = 30.0
_FAREWELL_SECONDS = 2.0


async def serve(settings: Settings) -> None:
    """Run the agent until SIGTERM or SIGINT."""
    with _locked(settings.home):
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        bus = await _connect(settings, stop)
        if bus is None:
            return
        try:
            await _serve_with(settings, bus, stop)
        finally:
            await bus.close()


async def _serve_with(settings: Settings, bus: Bus, stop: asyncio.Event) -> None:
    book = journal.Journal(settings.home / "journal")
    records = book.open()
    watcher = FileWatcher()
    launcher = Launcher(settings.home, settings.mechanism, enforce_limits=settings.limits == "auto")
    me = this_agent(settings.home, new_record_id(), current_boot())
    hall = Hall(
        settings=settings,
        agent_id=me.agent_id,
        boot_id=me.boot_id,
        bus=bus,
        journal=book,
        publisher=Publisher(bus, lambda run_id, ids: book.note(journal.published(run_id, ids))),
        shipper=OutputShipper(bus, watcher, settings.host),
        launcher=launcher,
        watcher=watcher,
        lease=Lease(settings.home / "lease", me.boot_id),
    )
    slots = Slots(settings.slots)
    supervisor = Supervisor(hall, slots)
    await bus.ensure_streams()
    await launcher.start()
    presence = Presence(bus, settings, me, mechanism=launcher.mechanism, version=version("runplane"))
    watching = asyncio.create_task(watcher.run(), name="file watcher")
    try:
        await _until(stop, watching, _serve_as_host(hall, supervisor, slots, presence, records))
        log.info("stopping; %d runs live on", supervisor.running)
        with contextlib.suppress(Unavailable):  # nobody hears it, and what is not heard of is absent soon
            await presence.leave(_FAREWELL_SECONDS)
    finally:
        await supervisor.close()
        await hall.publisher.drain(_FAREWELL_SECONDS)
        await hall.publisher.close()
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        watcher.close()
        await launcher.close()
        book.close()


async def _serve_as_host(
    hall: Hall, supervisor: Supervisor, slots: Slots, presence: Presence, records: list[journal.JournalRecord]
) -> None:
    """Join, take up what a former agent left, take orders; a loop that ends by itself ends the agent."""
    settings = hall.settings
    await presence.join()
    heartbeat = Heartbeat(
        hall.bus,
        host=settings.host,
        agent_id=hall.agent_id,
        boot_id=hall.boot_id,
        interval=settings.sample_seconds,
    )
    retention = Retention(
        settings.runs, settings.home / "retention.json", settings.keep_runs_seconds, boot_id=hall.boot_id
    )
    async with asyncio.TaskGroup() as loops:
        # The first beat comes before anything that takes time: who does not beat counts as dead.
        loops.create_task(
            heartbeat.run(
                supervisor.samples,
                lambda: SlotFigures(total=slots.total, used=slots.used),
                renew=supervisor.heard,
                beaten=supervisor.look_at_leases,
            )
        )
        loops.create_task(presence.until_replaced())
        await supervisor.recover(records)
        loops.create_task(OrderConsumer(hall.bus, supervisor, slots, settings.host, settings.pools).run())
        loops.create_task(retention.run(supervisor.keeps))


async def _until(
    stop: asyncio.Event, watching: asyncio.Task[None], serving: Coroutine[Any, Any, None]
) -> None:
    """Wait to be told to stop, or for the first part that fails; its error is raised, the first of several."""
    stopping = asyncio.create_task(stop.wait(), name="stop")
    served = asyncio.create_task(serving, name="host")
    try:
        done, _ = await asyncio.wait({stopping, watching, served}, return_when=asyncio.FIRST_COMPLETED)
        for task in done - {stopping}:
            task.result()
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    finally:
        for task in (stopping, served):
            task.cancel()
        await asyncio.gather(stopping, served, return_exceptions=True)


async def _connect(settings: Settings, stop: asyncio.Event) -> Bus | None:
    """Connect to the broker; as long as it is away, try again until told to stop."""
    while not stop.is_set():
        try:
            return await Bus.connect(
                settings.nats_url, name=f"agent-{settings.host}", timeout=_CONNECT_SECONDS
            )
        except Unavailable as error:
            log.warning("%s; trying again", error.message)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await stop.wait()
    return None


@contextlib.contextmanager
def _locked(home: Path) -> Iterator[None]:
    """One agent a home: a second one would keep the same runs twice."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (home / "lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            raise Conflict(
                f"another agent (pid {file.read().strip() or 'unknown'}) serves {home}: stop it, or give this one "
                f"another --home"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _arm_failpoints() -> None:
    try:
        failpoint.arm(os.environ.get(failpoint.VARIABLE, ""))
    except ValueError as error:
        raise InvalidInput(str(error)) from None


def main() -> int:
    """Start; 0 when stopped in good order."""
    logging.basicConfig(
        level=os.environ.get("RUNPLANE_LOG_LEVEL", "INFO"),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    try:
        _arm_failpoints()
        asyncio.run(serve(from_environment()))
        if passed := failpoint.passed():
            log.warning("failpoints passed: %s", ", ".join(f"{place}:{n}" for place, n in passed.items()))
    except RunplaneError as error:
        print(f"runplane agent: {error.message}", file=sys.stderr)  # noqa: T201 — the last word before the end
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
