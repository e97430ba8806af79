"""The directory of one attempt: all that a workflow, its shim and the agent say to each other.

Rules: mode 0700; every file the agent writes is replaced atomically, and fsynced where it is relied on after a crash; a
file that is there but cannot be read is a ``TornFile``, never an empty answer. ``process.json`` is created once,
by whoever is first: the shim that starts the attempt, or ``abandon``, after which no shim can start it any more.
Environment values are not stored, since they may be secrets.
"""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.process import durable
from agent.process.errors import TornFile, already_launched
from agent.process.identity import ProcessIdentity
from agent.process.limit_groups import LimitGroups
from agent.process.records import ExitRecord, Mechanism, ResourceUsage

_LARGEST = 4 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class ProcessRecord:
    """``process.json``: who was started.

    ``directory``: as it stands in the environment. ``forks``: tasks created since boot, at that time.
    """

    run_id: str
    attempt: int
    directory: Path
    main: ProcessIdentity
    shim: ProcessIdentity
    session_id: int
    cgroup: Path | None
    mechanism: Mechanism
    spawned_at: str
    forks: int
    limits: LimitGroups = field(default_factory=LimitGroups)


class RunDirectory:
    """The paths of one attempt, and how to read and write them."""

    def __init__(self, path: Path) -> None:
        """Nothing is touched before the first call."""
        self.path = path
        self.spec = path / "spec.json"
        self.process = path / "process.json"
        self.exit = path / "exit.json"
        self.asked = path / "asked.json"
        self.held = path / "held.json"
        self.control = path / "control.json"
        self.resume = path / "resume.json"
        self.checkpoint = path / "checkpoint.json"
        self.reports = path / "reports.jsonl"
        self.stdout = path / "stdout.log"
        self.stderr = path / "stderr.log"
        self.socket = path / "shim.sock"
        self.debug = path / "debug.json"
        self.debug_socket = path / "debug.sock"

    def prepare(self) -> None:
        """Create the directory and its empty files; ``LaunchError`` when it was launched (or abandoned) before."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path.chmod(0o700)
        if self.process.exists():
            raise already_launched(str(self.path))
        for file in (self.stdout, self.stderr, self.reports):
            file.touch(mode=0o600)

    def write_spec(self, spec: Mapping[str, Any]) -> None:
        """Replace ``spec.json``: what is to run, for the workflow to read. After a power cut nobody needs it."""
        self._replace(self.spec, spec, sync=False)

    def write_control(self, control: Mapping[str, Any]) -> None:
        """Replace ``control.json``: breakpoints, pause, step permission, variable edits."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._replace(self.control, control)

    def read_permits(self) -> int | None:
        """How many permits ``control.json`` gives; None where there is no such file. A torn one gives none."""
        try:
            raw = self._read(self.control)
        except TornFile:
            return 0
        permits = raw.get("permits") if raw is not None else None
        return None if raw is None else permits if isinstance(permits, int) else 0

    def write_debug(self, content: Mapping[str, Any]) -> None:
        """Replace ``debug.json``: the breakpoints at lines with which a debugged program begins."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._replace(self.debug, content, sync=False)

    def read_debug(self) -> dict[str, Any]:
        """The breakpoints at lines by file, as they were written last; none where that cannot be read."""
        try:
            files = (self._read(self.debug) or {}).get("files")
        except TornFile:
            return {}
        return files if isinstance(files, dict) else {}

    def write_resume(self, resume: Mapping[str, Any]) -> None:
        """Replace ``resume.json``: the last checkpoint and the results of completed steps."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._replace(self.resume, resume)

    def write_checkpoint(self, standing: Mapping[str, Any]) -> None:
        """Replace ``checkpoint.json``: which of the workflow's checkpoints is stored, and which was refused."""
        self._replace(self.checkpoint, standing, sync=False)

    def write_exit(self, record: ExitRecord) -> None:
        """Record an ending that the shim did not live to record."""
        usage = record.rusage
        content = {
            "code": record.code,
            "signal": record.signal,
            "rusage": usage
            and {
                "user_seconds": usage.user_seconds,
                "system_seconds": usage.system_seconds,
                "max_rss_bytes": usage.max_rss_bytes,
            },
            "exited_at": record.exited_at,
        }
        self._replace(self.exit, content)

    def note_asked(self, how: Mapping[str, Any]) -> None:
        """Note that the main process is about to be asked to end; OSError when the disk takes nothing more."""
        self._replace(self.asked, how, sync=False)

    def remove_shim_files(self) -> None:
        """What a shim removes when it ends in good order: its socket, and the room it kept for its records."""
        for file in (self.socket, *self.path.glob(".*.reserve")):
            with contextlib.suppress(OSError):
                file.unlink()

    def abandon(self, reason: str) -> bool:
        """Make sure that nothing will ever start here. False when it has started already (then adopt it)."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._opened() as directory:
            content = json.dumps({"abandoned": reason}).encode()
            created = durable.create_file(directory, self.process.name, content)
        return created or self.read_process() is None

    def read_process(self) -> ProcessRecord | None:
        """Who was started; ``None`` when nobody was (not launched, or abandoned)."""
        raw = self._read(self.process)
        if raw is None or "abandoned" in raw:
            return None
        try:
            return ProcessRecord(
                run_id=str(raw["run_id"]),
                attempt=int(raw["attempt"]),
                directory=Path(raw["directory"]),
                main=ProcessIdentity(boot_id=str(raw["boot_id"]), **_pid_and_start(raw["main"])),
                shim=ProcessIdentity(boot_id=str(raw["boot_id"]), **_pid_and_start(raw["shim"])),
                session_id=int(raw["session_id"]),
                cgroup=Path(raw["cgroup"]) if raw["cgroup"] else None,
                mechanism=_mechanism(raw["mechanism"]),
                spawned_at=str(raw["spawned_at"]),
                forks=int(raw["forks"]),
                limits=LimitGroups.of_json(raw.get("limits"), Path(raw["cgroup"]) if raw["cgroup"] else None),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise _torn(self.process, f"{type(error).__name__}: {error}") from error

    def read_exit(self) -> ExitRecord | None:
        """How the main process ended; ``None`` when that is not recorded (yet)."""
        raw = self._read(self.exit)
        return None if raw is None else self.parse_exit(raw)

    def parse_exit(self, raw: Mapping[str, Any]) -> ExitRecord:
        """The content of ``exit.json``, as read or as told by the shim."""
        try:
            usage = raw.get("rusage")
            return ExitRecord(
                code=raw["code"],
                signal=raw["signal"],
                rusage=ResourceUsage(**usage) if usage else None,
                exited_at=str(raw["exited_at"]),
                launch_error=raw.get("launch_error"),
                empty_at=raw.get("empty_at"),
                limits_reached=tuple(raw.get("limits_reached", ())),
            )
        except (KeyError, TypeError) as error:
            raise _torn(self.exit, f"{type(error).__name__}: {error}") from error

    @contextlib.contextmanager
    def _opened(self) -> Iterator[int]:
        directory = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield directory
        finally:
            os.close(directory)

    def _replace(self, file: Path, content: Mapping[str, Any], *, sync: bool = True) -> None:
        with self._opened() as directory:
            durable.replace_file(directory, file.name, json.dumps(content).encode(), sync=sync)

    def _read(self, file: Path) -> dict[str, Any] | None:
        try:
            with file.open("rb") as stream:
                content = stream.read(_LARGEST)
        except FileNotFoundError:
            return None
        try:
            raw = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise _torn(file, str(error)) from error
        if not isinstance(raw, dict):
            raise _torn(file, "not a JSON object")
        return raw


def _mechanism(said: object) -> Mechanism:
    """What an agent of another version calls by a name unknown here is held by its shim in any case."""
    match said:
        case "cgroup":
            return "cgroup"
        case "freezer":
            return "freezer"
        case _:
            return "subreaper"


def _pid_and_start(raw: Mapping[str, Any]) -> dict[str, int]:
    return {"pid": int(raw["pid"]), "start_time": int(raw["start_time"])}


def _torn(file: Path, problem: str) -> TornFile:
    return TornFile(
        f"{file} cannot be read: {problem}. It is written atomically, so the disk or a hand has damaged it; "
        "the attempt's processes can only be found by hand (`ps`, RUNPLANE_RUN_ID in their environment).",
        path=str(file),
        problem=problem,
    )
