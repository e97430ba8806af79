"""The control plane's composition root: everything is wired here, and nothing connects before :func:`main`.

The loops run side by side for as long as the process lives. When one of them ends, the process ends with a line that
says which and why, and whoever started it starts it again: what it knows is in the log.
"""

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import uvicorn

from control_plane import workflow_files
from control_plane.api.app import create_app
from control_plane.command_side import CommandSide
from control_plane.context import Context
from control_plane.diagnoses import Diagnoses
from control_plane.history import History
from control_plane.notifications import Configuration, Deliveries, Notifier
from control_plane.process_manager import ProcessManager
from control_plane.projector import Projector
from control_plane.read_model import IdempotencyStore, ReadModel
from control_plane.rebuild import RebuildReport, rebuild
from control_plane.settings import Settings
from control_plane.telemetry import Telemetry
from runplane.bus import Bus
from runplane.contract.errors import BrokerRefused, InvalidInput, RunplaneError, SystemFault, Unavailable

log = logging.getLogger("control_plane")

BROKER_SECONDS = 60.0
"""How long the start waits for the broker."""
GRACE_SECONDS = 3
"""How long open requests, streams and websockets may go on when the process is told to end."""
_STREAMS_SECONDS = 1.0
"""Streams see the end by themselves within so long; then whoever still waits for a change is told."""
_BACKLOG = 512
_RETRY_SECONDS = 0.5

Result = TypeVar("Result")


def main() -> None:
    """Run the control plane until it is told to end; exit code 2 for bad settings, 1 for anything else that fails."""
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    try:
        settings = Settings.from_environment(os.environ)
    except InvalidInput as error:
        log.critical("%s", error.message)
        sys.exit(2)
    try:
        asyncio.run(serve(settings))
    except RunplaneError as error:
        log.critical("%s", error.message)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


async def serve(settings: Settings) -> None:
    """Connect, wire, and run until a signal or the first loop that fails."""
    async with AsyncExitStack() as stack:
        bus = await _connect(settings)
        stack.push_async_callback(bus.close)
        await _prepare(bus, settings)
        context, startup = _wire(settings, bus, stack)
        listening = stack.enter_context(closing(_listen(settings)))
        await _run(context, startup, listening)


class Startup:
    """How far the start has come."""

    def __init__(self, projector: Projector, bus: Bus) -> None:
        """Nothing has been registered yet."""
        self._projector = projector
        self._bus = bus
        self.registered = False

    def not_ready(self) -> str | None:
        """Why requests cannot be served as they should be; None when they can."""
        if not self._bus.connected:
            return "the broker is not reached"
        if not self._projector.caught_up.is_set():
            return "the read model has not caught up with the log yet"
        if self._projector.trouble is not None:
            return self._projector.trouble
        if not self.registered:
            return "the workflow files are not registered yet"
        return None

    async def register(self, command_side: CommandSide, directory: Path | None) -> None:
        """Register the workflow files once the read model says what is registered already."""
        await self._projector.caught_up.wait()
        if directory is not None:
            await workflow_files.register(command_side, directory)
        self.registered = True


class _Server(uvicorn.Server):
    """Leaves the signals to the composition root, which has more to end than HTTP."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing is captured."""
        yield


async def _connect(settings: Settings) -> Bus:
    return await _within(
        BROKER_SECONDS,
        lambda: Bus.connect(str(settings.nats_url), name="control-plane", sys_url=settings.nats_sys_url),
    )


async def _prepare(bus: Bus, settings: Settings) -> None:
    """Declare the streams, and make sure that acknowledged means on disk."""
    await _within(BROKER_SECONDS, bus.ensure_streams)
    try:
        synced = await bus.sync_always()
    except Exception as error:  # noqa: BLE001 — whatever kept it from answering, it is not known
        log.debug("the broker was not asked: %s", error)
        synced = None
    if synced is None:
        log.warning(
            "it cannot be known whether the broker syncs every write to disk: set RUNPLANE_NATS_SYS_URL to its system "
            "account to have it checked. Without `sync_interval: always` a power cut can lose accepted commands"
        )
    elif not synced and not settings.allow_unsynced:
        raise BrokerRefused(
            "the broker does not sync every write to disk, so a power cut could lose commands that were accepted: set "
            "`sync_interval: always` in its jetstream configuration, or accept that loss with RUNPLANE_ALLOW_UNSYNCED=1"
        )
    elif not synced:
        log.warning(
            "the broker does not sync every write to disk, as RUNPLANE_ALLOW_UNSYNCED allows: a power cut can lose "
            "accepted commands"
        )


async def _within(seconds: float, attempt: Callable[[], Awaitable[Result]]) -> Result:
    """Try until it works; the last Unavailable when it did not within ``seconds``."""
    deadline = asyncio.get_running_loop().time() + seconds
    told = False
    while True:
        try:
            return await attempt()
        except BrokerRefused:
            raise
        except Exception as error:
            if asyncio.get_running_loop().time() >= deadline:
                if isinstance(error, RunplaneError):
                    raise
                raise Unavailable(f"the broker did not answer within {seconds:g} s: {error!r}") from error
            if not told:
                log.warning("waiting up to %g s for the broker: %s", seconds, error)
                told = True
        await asyncio.sleep(_RETRY_SECONDS)


def _wire(settings: Settings, bus: Bus, stack: AsyncExitStack) -> tuple[Context, Startup]:
    history = stack.enter_context(closing(History(settings.history)))
    telemetry = Telemetry(bus, history=history)
    read_model = stack.enter_context(closing(ReadModel(settings.read_model, telemetry)))
    idempotency = stack.enter_context(closing(IdempotencyStore(settings.idempotency)))
    projector = Projector(bus, read_model)
    startup = Startup(projector, bus)
    notifications = Configuration(settings.home)
    one_at_a_time = asyncio.Lock()

    async def rebuild_once() -> RebuildReport:
        async with one_at_a_time:
            return await rebuild(bus, read_model)

    command_side = CommandSide(bus, read_model)
    context = Context(
        settings=settings,
        bus=bus,
        read_model=read_model,
        command_side=command_side,
        diagnoses=Diagnoses(command_side, read_model),
        telemetry=telemetry,
        projector=projector,
        process_manager=ProcessManager(
            bus, read_model, Notifier(bus, read_model, notifications), telemetry, command_side
        ),
        notifications=notifications,
        deliveries=Deliveries(bus, read_model, notifications, _dashboard_of(settings)),
        idempotency=idempotency,
        rebuild=rebuild_once,
        not_ready=startup.not_ready,
    )
    return context, startup


def _listen(settings: Settings) -> socket.socket:
    """Take the port; Unavailable says who may have it.

    Connections inherit TCP_NODELAY. asyncio would set it only on sockets that name their protocol, and this one does
    not; without it, an answer's body waits up to 40 ms for the client to acknowledge its head.
    """
    family = socket.AF_INET6 if ":" in settings.listen else socket.AF_INET
    try:
        listening = socket.create_server((settings.listen, settings.port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise Unavailable(
            f"{settings.listen} port {settings.port} cannot be taken ({os.strerror(error.errno or 0)}): end what "
            f"listens there, or choose another with --port"
        ) from None
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


async def _run(context: Context, startup: Startup, listening: socket.socket) -> None:
    server = _Server(
        uvicorn.Config(
            create_app(context),
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
    )
    loop = asyncio.get_running_loop()

    def end(number: signal.Signals) -> None:
        server.handle_exit(number, None)
        loop.call_later(_STREAMS_SECONDS, context.read_model.end_subscriptions)
        loop.call_later(_STREAMS_SECONDS, context.telemetry.end_subscriptions)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end, number)
    loops: dict[str, Coroutine[Any, Any, None]] = {
        "HTTP": server.serve(sockets=[listening]),
        "projector": context.projector.run(),
        "telemetry": context.telemetry.run(),
        "process manager": _manage(context),
        "notifications": _deliver(context),
    }
    tasks = {asyncio.create_task(coroutine, name=name) for name, coroutine in loops.items()}
    registering = asyncio.create_task(startup.register(context.command_side, context.settings.workflows))
    log.info("listening on %s port %d", *listening.getsockname()[:2])
    try:
        await _first_to_end(tasks, registering, server)
    finally:
        for task in (*tasks, registering):
            task.cancel()
        await asyncio.gather(*tasks, registering, return_exceptions=True)


async def _manage(context: Context) -> None:
    """Decide nothing before the read model is known to be this log's, and complete."""
    await context.projector.caught_up.wait()
    await context.process_manager.run()


async def _deliver(context: Context) -> None:
    """Tell nobody before the read model says what was told already."""
    await context.projector.caught_up.wait()
    await context.deliveries.run()


def _dashboard_of(settings: Settings) -> str:
    host = f"[{settings.listen}]" if ":" in settings.listen else settings.listen
    return f"http://{host}:{settings.port}"


async def _first_to_end(
    tasks: set[asyncio.Task[None]], registering: asyncio.Task[None], server: _Server
) -> None:
    """Wait for the end that a signal asked for; SystemFault names the loop that failed instead."""
    done, running = await asyncio.wait({*tasks, registering}, return_when=asyncio.FIRST_COMPLETED)
    if registering in done and registering.exception() is None:
        done, running = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    ended = next(iter(done))
    error = ended.exception()
    if ended.get_name() == "HTTP" and error is None and server.should_exit:
        return
    server.should_exit = True
    await asyncio.wait(
        [task for task in running if task.get_name() == "HTTP"] or [ended], timeout=GRACE_SECONDS + 1
    )
    if isinstance(error, RunplaneError):
        raise error
    if error is not None:
        log.error("the loop %s failed", ended.get_name(), exc_info=error)
    raise SystemFault(f"the control plane ends because its loop {ended.get_name()!r} ended ({error!r})")


if __name__ == "__main__":
    main()
