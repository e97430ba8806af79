"""The parts of one system on this machine, in the order broker, control plane, agent; they stop the other way round.

``endpoint.json`` is there from the moment everything was ready until `up` stops, and is rewritten whenever a part is
another process. Secrets reach the parts by environment, each part its own; the system account of the broker is the
control plane's alone.
"""

import asyncio
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from runplane.cli import broker as embedded
from runplane.cli.broker_store import keep_storing
from runplane.cli.home import Endpoint, Home
from runplane.cli.keeper import Keeper, Part
from runplane.cli.part_log import bound
from runplane.cli.ports import LOOPBACK
from runplane.cli.problem import Problem
from runplane.cli.process import Identity
from runplane.cli.program import python_module
from runplane.cli.readiness import (
    LOOK_EVERY,
    Host,
    broker_accepts,
    look_for_host,
    plane_is_ready,
    storage_fault,
)

READY_WITHIN = 60.0
HOPELESS = 4  # deaths in a row before the part was ever ready
SAY_AFTER = 5.0
BOUND_LOGS_EVERY = 60.0
STOP_WITHIN = {"nats": 10.0, "control_plane": 10.0, "agent": 10.0}
NOT_INHERITED = frozenset({
    "RUNPLANE_URL", "RUNPLANE_TOKEN", "RUNPLANE_NATS_URL", "RUNPLANE_NATS_SYS_URL",
    "RUNPLANE_RUN_ID", "RUNPLANE_ATTEMPT", "RUNPLANE_DIR",
})  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What `up` was asked for. ``nats_url`` names a broker that is not ours; empty: the embedded one."""

    port: int
    host_id: str
    workflows: Path | None = None
    with_agent: bool = True
    nats_url: str = ""

    @property
    def url(self) -> str:
        """Where the control plane is reached."""
        return f"http://{LOOPBACK}:{self.port}"


class System:
    """Runs the parts. ``me`` is the supervisor itself; ``say`` tells the operator."""

    def __init__(self, home: Home, settings: Settings, *, me: Identity, say: Callable[[str], None]) -> None:
        """Nothing is started before ``run``."""
        self._home = home
        self._settings = settings
        self._me = me
        self._say = say
        self._token = home.token()
        self._broker: embedded.Broker | None = None
        self._keepers: list[Keeper] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._ready = False
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()

    def stop(self) -> None:
        """Stop in order; asked a second time, at once."""
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    async def run(self, on_ready: Callable[[Endpoint], None]) -> None:
        """Start everything, keep it running until ``stop``; a ``Problem`` where it cannot be brought up."""
        self._tasks.append(asyncio.create_task(self._bound_logs()))
        self._tasks.append(asyncio.create_task(self._watch_store()))
        try:
            await self._bring_up()
            if not self._stop.is_set():
                self._ready = True
                self._write_endpoint()
                on_ready(self._endpoint())
                await self._stop.wait()
        finally:
            await self._bring_down()

    async def _bring_up(self) -> None:
        for part, is_ready in self._parts():
            keeper = Keeper(part, say=self._say, changed=self._write_endpoint)
            self._keepers.append(keeper)
            self._tasks.append(asyncio.create_task(keeper.run()))
            await self._until_ready(keeper, is_ready)
            if self._stop.is_set():
                return

    async def _bring_down(self) -> None:
        self._ready = False
        self._home.remove_endpoint()
        for keeper in reversed(self._keepers):
            await keeper.stop(self._hurry)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _parts(self) -> Iterator[tuple[Part, Callable[[], bool]]]:
        """Each part and how it is known to be ready; one is asked for when those before it are ready.

        A host may still look present from the last heartbeat of an agent that is gone, so another start of the agent
        is waited for.
        """
        if not self._settings.nats_url:
            yield self._part("nats", self._broker_argv, self._inherited), self._broker_is_ready
        yield (
            self._part("control_plane", lambda: python_module("control_plane.main"), self._plane_env),
            lambda: plane_is_ready(self._settings.url),
        )
        if self._settings.with_agent:
            earlier = self._host().agent_id
            yield (
                self._part("agent", lambda: python_module("agent.main"), self._agent_env),
                lambda: self._has_joined_since(earlier),
            )

    def _has_joined_since(self, earlier: str) -> bool:
        host = self._host()
        return host.is_there and host.agent_id != earlier

    def _host(self) -> Host:
        return look_for_host(self._settings.url, self._token, self._settings.host_id)

    def _part(self, name: str, argv: Callable[[], list[str]], env: Callable[[], Mapping[str, str]]) -> Part:
        log = self._home.logs / f"{name}.log"
        return Part(name=name, argv=argv, env=env, log=log, stop_within=STOP_WITHIN[name])

    def _broker_argv(self) -> list[str]:
        """Configured anew at every start. A port that somebody else took meanwhile means another URL for all."""
        before, self._broker = (
            self._broker,
            embedded.configure(self._home, server_name=f"runplane-{self._settings.host_id}"),
        )
        if before is not None and before.port != self._broker.port:
            self._say(
                f"port {before.port} of the broker was taken by another program; it is {self._broker.port} now"
            )
            others = [keeper for keeper in self._keepers if keeper.part.name != "nats"]
            self._tasks.extend(asyncio.create_task(keeper.start_again(self._hurry)) for keeper in others)
        return self._broker.argv

    def _broker_is_ready(self) -> bool:
        return self._broker is not None and broker_accepts(self._broker.port)

    @property
    def _nats_url(self) -> str:
        return self._broker.url if self._broker is not None else self._settings.nats_url

    def _inherited(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
        return kept | {"RUNPLANE_HOME": str(self._home.path), "PYTHONUNBUFFERED": "1"}

    def _plane_env(self) -> dict[str, str]:
        env = self._inherited() | {
            "RUNPLANE_NATS_URL": self._nats_url,
            "RUNPLANE_TOKEN_FILE": str(self._home.token_file),
            "RUNPLANE_LISTEN": LOOPBACK,
            "RUNPLANE_PORT": str(self._settings.port),
        }
        if self._broker is not None:
            env["RUNPLANE_NATS_SYS_URL"] = self._broker.sys_url
        if self._settings.workflows is not None:
            env["RUNPLANE_WORKFLOWS"] = str(self._settings.workflows)
        return env

    def _agent_env(self) -> dict[str, str]:
        return self._inherited() | {
            "RUNPLANE_NATS_URL": self._nats_url,
            "RUNPLANE_HOST_ID": self._settings.host_id,
        }

    async def _until_ready(self, keeper: Keeper, is_ready: Callable[[], bool]) -> None:
        """Until the part is ready or a stop was asked for; a ``Problem`` with its last words where it never is."""
        began, told = time.monotonic(), False
        while not self._stop.is_set():
            if keeper.pid is not None and await asyncio.to_thread(is_ready):
                return
            waited = time.monotonic() - began
            if waited > SAY_AFTER and not told:
                told = True
                self._say(f"still waiting for {keeper.part.name} (it prints to {keeper.part.log})")
            late = waited > READY_WITHIN
            if late or keeper.quick_deaths >= HOPELESS:
                what = (
                    f"was not ready within {READY_WITHIN:g} s"
                    if late
                    else f"died {keeper.quick_deaths} times in a row"
                )
                said = "".join(f"\n    {line}" for line in keeper.last_words())
                raise Problem(
                    f"{keeper.part.name} {what}. Its last lines:{said}", hint=f"see {keeper.part.log}"
                )
            await asyncio.sleep(LOOK_EVERY)

    def _endpoint(self) -> Endpoint:
        return Endpoint(
            url=self._settings.url,
            token=self._token,
            nats_url=self._nats_url,
            pids={keeper.part.name: keeper.pid for keeper in self._keepers if keeper.pid is not None},
            up_pid=self._me.pid,
            up_start_time=self._me.start_time,
            host_id=self._settings.host_id if self._settings.with_agent else "",
        )

    def _write_endpoint(self) -> None:
        if self._ready:
            self._home.write_endpoint(self._endpoint())

    async def _watch_store(self) -> None:
        """The embedded broker is started again when its disk was full and there is room."""

        def fault() -> str | None:
            is_ours = self._ready and self._broker is not None
            return storage_fault(self._settings.url, self._token) if is_ours else None

        async def start_again() -> None:
            for keeper in self._keepers:
                if keeper.part.name == "nats":
                    await keeper.start_again(self._hurry)

        def free_bytes() -> int:
            return shutil.disk_usage(self._home.nats).free

        await keep_storing(fault=fault, free_bytes=free_bytes, start_again=start_again, say=self._say)

    async def _bound_logs(self) -> None:
        while True:
            await asyncio.sleep(BOUND_LOGS_EVERY)
            for keeper in self._keepers:
                bound(keeper.part.log)
