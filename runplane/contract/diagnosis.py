"""A diagnosis: one look at everything that a run's processes do and wait for, with one plain sentence on top.

Taken by the agent on the run's host; the control plane makes one without processes where no agent can be asked (a run
that is pending, has ended, or whose host is away). Bounded: what did not fit or may not be seen stands in ``unseen``.
"""

from typing import Literal

from pydantic import Field

from runplane.contract.ids import HostId, RunId
from runplane.contract.run import Condition, Progress, Resources, Status
from runplane.contract.value import Moment, Value


class Frame(Value):
    """One call on a stack. ``own``: of the workflow's own code, and not of Python or an installed package."""

    function: str
    file: str
    line: int
    own: bool = True

    def __str__(self) -> str:
        """As a person reads it: ``lina.get_issues``, lina.py:88."""
        name = self.file.rpartition("/")[2]
        module = name.removesuffix(".py")
        if self.function == "<module>":
            return f"`{module}`, {name}:{self.line}"
        is_qualified = "." in self.function
        return f"`{self.function if is_qualified else f'{module}.{self.function}'}`, {name}:{self.line}"


class SeenThread(Value):
    """What one thread does. ``waits_for`` is a word for people and programs (``reply``, ``lock``, ``running`` …),
    ``call`` the system call it is in, ``place`` the kernel function, ``on`` what its descriptor leads to.

    ``stack``: of a Python thread, innermost call first.
    """

    tid: int
    name: str
    state: str
    waits_for: str
    call: str = ""
    place: str = ""
    on: str = ""
    peer: str | None = None
    stack: tuple[Frame, ...] = ()


class SeenSocket(Value):
    """A socket that a process has open. ``received_at``: when data last came, where the kernel says so."""

    fd: int
    protocol: Literal["tcp", "unix", "other"]
    state: str = ""
    local: str = ""
    peer: str = ""
    received_at: Moment | None = None
    receive_queue_bytes: int | None = None
    send_queue_bytes: int | None = None


class SeenFile(Value):
    """A file, pipe or device that a process has open."""

    fd: int
    target: str


class SeenProcess(Value):
    """One process of the tree. ``state`` is the kernel's letter, ``state_name`` what it means."""

    pid: int
    parent_pid: int
    name: str
    cmdline: str
    state: str
    state_name: str
    main: bool = False
    rss_bytes: int = 0
    cpu_seconds: float = 0.0
    threads: tuple[SeenThread, ...] = ()
    sockets: tuple[SeenSocket, ...] = ()
    files: tuple[SeenFile, ...] = ()


class SeenStep(Value):
    """A step that the workflow reported: ``state`` is ``started``, ``completed`` or ``failed``."""

    name: str
    index: int
    state: Literal["started", "completed", "failed"]
    at: Moment
    duration_seconds: float | None = None


class Diagnosis(Value):
    """What was seen. ``sentence`` says it in one; ``duration_ms``: how long the look took.

    ``stdout`` and ``stderr`` are the last lines, oldest first, as text without control sequences. ``samples`` and
    ``steps`` are the last ones, oldest first. ``host`` is None where no host holds the run.
    """

    run_id: RunId
    workflow: str
    status: Status
    attempt: int = 0
    host: HostId | None = None
    sentence: str
    condition: Condition | None = None
    progress: Progress | None = None
    quiet_seconds: float | None = None
    processes: tuple[SeenProcess, ...] = ()
    stdout: tuple[str, ...] = ()
    stderr: tuple[str, ...] = ()
    steps: tuple[SeenStep, ...] = ()
    samples: tuple[Resources, ...] = ()
    unseen: tuple[str, ...] = Field(default=())
    taken_at: Moment
    duration_ms: float = 0.0
