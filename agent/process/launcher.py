"""Starting attempts, and finding them again after the agent was away.

Rules: at most one process tree for a run directory, whatever crashes when: the shim runs nothing before it has
created ``process.json``, and only one writer can create it. Every step has a limit. A ``LaunchError`` means that
nothing runs and nothing will. Environment values go to the shim over its socket and are stored nowhere.
"""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal
from weakref import WeakSet

from agent import failpoint
from agent.process.census import environment_of
from agent.process.cgroup import Cgroup, CgroupRoot, namespace_of
from agent.process.errors import LaunchError, already_launched, explain_launch_error
from agent.process.freezer import FreezerRoot
from agent.process.identity import current_boot, is_alive
from agent.process.launch_request import LaunchRequest, check, public_spec, whole_spec
from agent.process.limit_groups import LimitGroups, LimitHierarchies
from agent.process.records import Mechanism
from agent.process.run_directory import RunDirectory
from agent.process.shim_link import Message, ShimLink
from agent.process.tree import AttemptProcess
from agent.process.zygote_parent import ZygoteParent

_CONNECT_TRIES = 25
_CONNECT_SECONDS = 0.02
_HELLO_SECONDS = 2.0
_CLOSE_SECONDS = 2.0
_FORK_TRIES = 4
"""Every spare shim may have been killed just when it took the request, and the zygote as well."""

__all__ = ["LaunchRequest", "Launcher"]


class Launcher:
    """Starts and adopts the attempts of one agent. ``home`` keeps apart the cgroups of agents on one machine."""

    def __init__(
        self,
        home: Path,
        mechanism: Literal["auto"] | Mechanism = "auto",
        *,
        launch_seconds: float = 10.0,
        enforce_limits: bool = True,
    ) -> None:
        """``auto``: the first that can be used here. ``cgroup``, ``freezer``: refuse to start without.

        ``enforce_limits``: have the kernel enforce them where it can; else somebody must watch.
        """
        self._enforce_limits = enforce_limits
        self._home = home
        self._mechanism = mechanism
        self._limit = launch_seconds
        self._zygote = ZygoteParent()
        self._groups: CgroupRoot | None = None
        self._limits = LimitHierarchies({}, "")
        self._given: WeakSet[AttemptProcess] = WeakSet()

    @property
    def zygote_pid(self) -> int | None:
        """The pid of the shims' parent while it runs."""
        return self._zygote.pid

    @property
    def mechanism(self) -> Mechanism:
        """How trees are held together on this machine; known after :meth:`start`."""
        if self._groups is None:
            return "subreaper"
        return "freezer" if isinstance(self._groups, FreezerRoot) else "cgroup"

    async def start(self) -> None:
        """Find out what the kernel allows, and start the shims' parent."""
        namespace = namespace_of(self._home)
        if self._enforce_limits:
            self._limits = LimitHierarchies.find(namespace)
            self._limits.remove_unused()
        if self._mechanism in ("auto", "cgroup"):
            self._groups = CgroupRoot.find(namespace)
        if self._groups is None and self._mechanism in ("auto", "freezer"):
            self._groups = FreezerRoot.find(namespace)
        if self._mechanism not in ("auto", self.mechanism):
            what = "cgroup (version 2)" if self._mechanism == "cgroup" else "freezer cgroup (version 1)"
            raise LaunchError(
                kind="no_resources",
                field="mechanism",
                value=self._mechanism,
                message=f"no {what} hierarchy is mounted where this user may write and kill. "
                "Mount one, delegate a part of it to this user, or use the mechanism 'auto'.",
            )
        self._zygote.start()

    async def close(self) -> None:
        """End the shims' parent and let go of every attempt; all of them live on."""
        for process in list(self._given):
            process.close()
        await self._zygote.close(_CLOSE_SECONDS)
        self._limits.remove_unused()
        if self._groups is not None:
            self._groups.remove_unused()

    async def launch(self, request: LaunchRequest) -> AttemptProcess:
        """Start the attempt; it runs when this returns. After a cancellation it may run, too: adopt its directory."""
        failpoint.passing("spawn.before")
        request = replace(request, directory=request.directory.absolute())
        env = {**request.env, **environment_of(request.run_id, request.attempt, request.directory)}
        check(request, env)
        files = RunDirectory(request.directory)
        with _disk_errors(request.directory):
            files.prepare()
        name = f"{request.run_id}.{request.attempt}"
        group = self._groups.create(name) if self._groups else None
        limits = self._limits.make(name, request.bounds, group) if self._enforce_limits else LimitGroups()
        try:
            answer, link = await self._have_shim_launch(files, request, env, group, limits)
        except LaunchError:
            _remove(group, limits)
            raise
        if "launched" not in answer:
            link.close()
            _remove(group, limits)
            raise _explain(answer, request, env)
        failpoint.passing("spawn.after")
        process = self._take(files, link)
        if process is None:
            raise _shim_failed(files, "it did not record what it started")
        if group is not None and process.cgroup is None:
            _remove(group, LimitGroups())
        return process

    async def adopt(self, directory: Path) -> AttemptProcess | None:
        """Find an attempt again by (boot id, pid, start time). ``None``: nothing was ever started in this directory.

        It may be over: then its waits return at once. ``shim_alive`` and ``rebooted`` say what there is to expect.
        ``TornFile`` when ``process.json`` is damaged.
        """
        files = RunDirectory(directory.absolute())
        record = files.read_process()
        if record is None:
            return None
        link = None
        if record.main.boot_id == current_boot():
            for _ in range(_CONNECT_TRIES):
                link = await ShimLink.connect(files.socket, record.shim.pid)
                if link is not None or files.exit.exists() or not is_alive(record.shim):
                    break
                await asyncio.sleep(_CONNECT_SECONDS)  # a shim just forked is about to listen
        process = self._take(files, link)
        if process is not None and link is not None:
            hello = await link.ask("hello", _HELLO_SECONDS)
            process.ending.learn(hello.get("exit") if hello else None)
        return process

    async def abandon(self, directory: Path, reason: str) -> bool:
        """Make sure that nothing will ever start in this directory. False: something has; adopt it."""
        return await asyncio.to_thread(RunDirectory(directory.absolute()).abandon, reason)

    async def _have_shim_launch(
        self,
        files: RunDirectory,
        request: LaunchRequest,
        env: Mapping[str, str],
        group: Cgroup | None,
        limits: LimitGroups,
    ) -> tuple[Message, ShimLink]:
        """The shim's answer. Without one the attempt is given up for good."""
        problem = f"it ended {_FORK_TRIES} times without an answer"
        try:
            for _ in range(_FORK_TRIES):
                link = await self._ask_for_shim(files, request, env, group, limits)
                answer = link.launched.result()
                if answer is not None:
                    return answer, link
                # Whoever held the other end is gone and has started nothing: the zygote died, and there is another.
                if files.process.exists():
                    break
        except TimeoutError:
            self._zygote.replace()
            problem = f"it did not answer within {self._limit:g} s"
        except OSError as error:
            problem = f"it could not be forked: {error}"
        await self._give_up(files, problem)
        raise _shim_failed(files, problem)

    async def _ask_for_shim(
        self,
        files: RunDirectory,
        request: LaunchRequest,
        env: Mapping[str, str],
        group: Cgroup | None,
        limits: LimitGroups,
    ) -> ShimLink:
        """A link to a shim that has answered, or has ended without."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        link = await ShimLink.over(ours)
        try:
            with theirs:
                title = f"rp-shim {request.run_id}.{request.attempt}"
                await self._zygote.fork_shim(theirs, title, files.path, self._limit)
            with _disk_errors(request.directory):
                files.write_spec(public_spec(request, env))
            link.send_raw(whole_spec(request, env, group, limits))
            failpoint.passing("spawn.during")
            async with asyncio.timeout(self._limit):
                await asyncio.shield(link.launched)
        except BaseException:
            link.close()
            raise
        return link

    async def _give_up(self, files: RunDirectory, problem: str) -> None:
        """Nothing may run after a failed launch: forbid it, or end what has started in the meantime."""
        with contextlib.suppress(OSError):  # a disk that takes no tombstone takes no process.json either
            if await asyncio.to_thread(files.abandon, problem):
                return
        process = await self.adopt(files.path)
        if process is not None:
            await process.terminate(signal=signal.SIGKILL, grace_seconds=0, force=True)
            process.close()

    def _take(self, files: RunDirectory, link: ShimLink | None) -> AttemptProcess | None:
        record = files.read_process()
        if record is None:
            return None
        process = AttemptProcess(files, record, link)
        self._given.add(process)
        return process


def _explain(answer: Message, request: LaunchRequest, env: dict[str, str]) -> LaunchError:
    report: Any = answer.get("launch_error") or answer.get("exit", {}).get("launch_error") or {}
    if report.get("where") == "already_launched":
        return already_launched(str(request.directory))
    return explain_launch_error(report, request.argv, request.cwd, env)


def _shim_failed(files: RunDirectory, problem: str) -> LaunchError:
    return LaunchError(
        kind="shim_failed",
        field="shim",
        value=str(files.path),
        message=f"the keeper of the attempt in {files.path} failed: {problem}. Nothing runs. "
        "See shim.log there and `runplane doctor`, then start the run again.",
    )


@contextlib.contextmanager
def _disk_errors(directory: Path) -> Iterator[None]:
    """What the disk refuses, said as a failed launch."""
    try:
        yield
    except OSError as error:
        raise LaunchError(
            kind="no_resources",
            field="directory",
            value=str(directory),
            message=f"the run directory {directory} cannot be prepared: {error.strerror}. "
            "Check room and permissions there (`runplane doctor`).",
        ) from error


def _remove(group: Cgroup | None, limits: LimitGroups) -> None:
    limits.remove()
    if group is not None:
        group.remove()
