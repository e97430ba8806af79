"""A short-lived child of the shim that starts the main process, and ends. Then the main process is the shim's child.

Rules: it is forked before there is anything to start, and waits for the request itself: nothing of a launch waits for
a fork that could have been made before. Nothing of the workflow runs before ``process.json`` is on disk, created by
this shim alone; if the shim dies meanwhile, nothing is started. What went wrong is answered over the request's channel.
Standard library alone.
"""

import contextlib
import ctypes
import json
import os
import signal
import socket
import time
from typing import Any, NoReturn

from agent.process.durable import create_file, reserve
from agent.process.handover import pass_on, take
from agent.process.kernel import boot_id, fork_count, iso_now, read_stat
from agent.process.spawn import HeldChild, fork_held

SPEC_SECONDS = 10.0
SPEC_BYTES = 32 << 20
RECORD_BYTES = 1024
RECEIVE_BYTES = 64 << 10

_PR_SET_PDEATHSIG = 1


def reserves(shim: int) -> list[str]:
    """Room for the two records of the ending. The pid keeps it apart from that of a shim that was launched as well."""
    return [f".{name}.{shim}.reserve" for name in ("exit", "gone")]


def run(requests: socket.socket, taken: int, *, stdin: int, report: socket.socket, shim: int) -> NoReturn:
    """Wait for a request, pass it on to the shim, start what it asks for.

    ``taken`` is told the shim's pid when there is a request. ``report`` gets the request, and then nothing, or a line
    ``{main, cgroup, limits, launch_error}`` and one for the agent: the answer about a success is left to the shim,
    since this process is in its tree as long as it lives.
    """
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        request = take(requests) if os.getppid() == shim else None
        if request is not None:
            os.write(taken, b"%d\n" % shim)
            pass_on(request, report)
            directory = os.open(request.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            spec = _receive_spec(request.channel)
            if spec is not None and os.getppid() == shim:
                _Start(spec, request.channel, directory, shim).run(stdin, report)
    finally:
        os._exit(0)


def _receive_spec(channel: socket.socket) -> dict[str, Any] | None:
    channel.settimeout(SPEC_SECONDS)
    received = bytearray()
    while not received.endswith(b"\n"):
        chunk = channel.recv(RECEIVE_BYTES)
        if not chunk or len(received) > SPEC_BYTES:
            return None
        received += chunk
    spec: dict[str, Any] = json.loads(received)
    return spec


class _Start:
    """One start. Whatever refuses it leaves nothing behind."""

    def __init__(self, spec: dict[str, Any], channel: socket.socket, directory: int, shim: int) -> None:
        self._spec = spec
        self._channel = channel
        self._directory = directory
        self._shim = shim

    def run(self, stdin: int, report: socket.socket) -> None:
        """Fork, record, release."""
        where = "directory"
        try:
            for name in reserves(self._shim):
                reserve(self._directory, name, RECORD_BYTES)
            stdout, stderr = self._open("stdout.log"), self._open("stderr.log")
            where = "fork"
            child = fork_held(self._spec, stdin, stdout, stderr)
        except OSError as error:
            self._refuse(error.errno, where)
            return
        record = self._process_record(child)
        if self._is_given_up():
            child.drop()
            self._refuse(None, "abandoned")
            return
        try:
            created = create_file(self._directory, "process.json", json.dumps(record).encode())
        except OSError as error:
            child.drop()
            self._refuse(error.errno, "process.json")
            return
        if not created:
            child.drop()
            self._refuse(None, "already_launched")
            return
        failure = child.release()
        places = record["limits"]["joined"] | dict.fromkeys(record["limits"]["unified"], record["cgroup"])
        started = {
            "main": child.pid,
            "cgroup": record["cgroup"],
            "limits": places,
            "launch_error": failure,
            "lease": self._spec.get("lease"),
        }
        # A program that could not be executed has an ending like any other: the shim records it, and says so then.
        answer = json.dumps({"launched": record}) + "\n" if failure is None else ""
        report.sendall(f"{json.dumps(started)}\n{answer}".encode())

    def _is_given_up(self) -> bool:
        """Whether the agent waits no more: then it starts the attempt anew, or has failed it."""
        self._channel.setblocking(False)
        try:
            return not self._channel.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def _open(self, name: str) -> int:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        return os.open(name, flags, 0o600, dir_fd=self._directory)

    def _process_record(self, child: HeldChild) -> dict[str, Any]:
        cgroup = self._spec["cgroup"] if child.in_cgroup else self._join_cgroup(child.pid)
        limits = self._spec.get("limits", {"joined": {}, "unified": []})
        joined = {name: place for name, place in limits["joined"].items() if _join(place, child.pid)}
        main, shim = read_stat(child.pid), read_stat(self._shim)
        return {
            "run_id": self._spec["run_id"],
            "attempt": self._spec["attempt"],
            "directory": self._spec["directory"],
            "boot_id": boot_id(),
            "shim": {"pid": self._shim, "start_time": shim.start_time if shim else 0},
            "main": {"pid": child.pid, "start_time": main.start_time if main else 0},
            "session_id": child.pid,
            "cgroup": cgroup,
            "mechanism": self._spec["mechanism"] if cgroup else "subreaper",
            "limits": {"joined": joined, "unified": limits["unified"] if cgroup else []},
            "spawned_at": iso_now(),
            "spawned_monotonic": time.monotonic(),
            "forks": fork_count(),
        }

    def _join_cgroup(self, pid: int) -> str | None:
        cgroup: str | None = self._spec.get("cgroup")
        return cgroup if cgroup is not None and _join(cgroup, pid) else None

    def _refuse(self, number: int | None, where: str) -> None:
        for name in reserves(self._shim):
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=self._directory)
        self._answer({"launch_error": {"errno": number, "where": where}})

    def _answer(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):
            self._channel.sendall(json.dumps(message).encode() + b"\n")


def _join(cgroup: str, pid: int) -> bool:
    """Move the held child there; False where the kernel does not allow it."""
    try:
        procs = os.open(f"{cgroup}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(procs, str(pid).encode())
        finally:
            os.close(procs)
    except OSError:
        return False
    return True
