"""The subjects of the broker: each a function, with its literal form beside it.

The log's subjects have five tokens, ``rp.<cmd|evt>.<host|pool|plane>.<name>.<run_id>``, so that
``rp.*.*.*.<run_id>`` is a run's whole story and ``rp.evt.host.<H>.>`` is all that host H may write.
"""

LOG_STREAM = "RUNPLANE_LOG"
OUTPUT_STREAM = "RUNPLANE_OUTPUT"
TELEMETRY_STREAM = "RUNPLANE_TELEMETRY"
TIMERS_STREAM = "RUNPLANE_TIMERS"
OBJECTS_STREAM = "RUNPLANE_OBJECTS"

ALL_COMMANDS = "rp.cmd.>"
ALL_EVENTS = "rp.evt.>"
ALL_OUTPUT = "rp.out.>"
ALL_TELEMETRY = "rp.tel.>"
ALL_TIMERS = "rp.tim.>"
ALL_OBJECTS = "rp.obj.>"
PLANE_COMMANDS = "rp.cmd.plane.>"

PLANE = "main"
"""The name of the control plane as the addressee of commands and the source of events."""


def host_command(host: str, run_id: str) -> str:
    """``rp.cmd.host.<host>.<run_id>``: an order to the host that holds the run."""
    return f"rp.cmd.host.{host}.{run_id}"


def host_commands(host: str) -> str:
    """``rp.cmd.host.<host>.>``: all orders to one host."""
    return f"rp.cmd.host.{host}.>"


def pool_command(pool: str, run_id: str) -> str:
    """``rp.cmd.pool.<pool>.<run_id>``: a run for whichever host of the pool has a free slot."""
    return f"rp.cmd.pool.{pool}.{run_id}"


def pool_commands(pool: str) -> str:
    """``rp.cmd.pool.<pool>.>``: all that waits in one pool."""
    return f"rp.cmd.pool.{pool}.>"


def plane_command(run_id: str) -> str:
    """``rp.cmd.plane.main.<run_id>``: an order about a run that no host holds."""
    return f"rp.cmd.plane.{PLANE}.{run_id}"


def host_event(host: str, run_id: str) -> str:
    """``rp.evt.host.<host>.<run_id>``: a fact that a host saw."""
    return f"rp.evt.host.{host}.{run_id}"


def host_presence(host: str) -> str:
    """``rp.evt.host.<host>.host``: a fact about the host itself."""
    return f"rp.evt.host.{host}.host"


def plane_event(run_id: str) -> str:
    """``rp.evt.plane.main.<run_id>``: a fact that the control plane decided."""
    return f"rp.evt.plane.{PLANE}.{run_id}"


def group_event(group: str, run_id: str) -> str:
    """``rp.evt.plane.<group>.<run_id>``: a run was let in among those of its group."""
    return f"rp.evt.plane.{group}.{run_id}"


def group_events(group: str) -> str:
    """``rp.evt.plane.<group>.*``: all that were let in; the subject of their compare-and-set."""
    return f"rp.evt.plane.{group}.*"


def workflow_event(workflow: str) -> str:
    """``rp.evt.plane.registry.<workflow>``: a version of a workflow, or its removal."""
    return f"rp.evt.plane.registry.{workflow}"


def run_events(run_id: str) -> str:
    """``rp.evt.*.*.<run_id>``: all facts about a run; the subject of its compare-and-set."""
    return f"rp.evt.*.*.{run_id}"


def run_story(run_id: str) -> str:
    """``rp.*.*.*.<run_id>``: everything that was asked of a run or happened to it."""
    return f"rp.*.*.*.{run_id}"


def telemetry(host: str) -> str:
    """``rp.tel.<host>``: heartbeat and samples of one host."""
    return f"rp.tel.{host}"


def object_chunk(digest: str, number: int) -> str:
    """``rp.obj.<sha256>.<number>``: a piece of something large, from 0."""
    return f"rp.obj.{digest}.{number}"


def object_chunks(digest: str) -> str:
    """``rp.obj.<sha256>.>``: all of its pieces."""
    return f"rp.obj.{digest}.>"


def notification_event(target: str) -> str:
    """``rp.evt.plane.notify.<target>``: whether a target could be told for a test; of no run."""
    return f"rp.evt.plane.notify.{target}"


def timer(kind: str, name: str, key: str) -> str:
    """``rp.tim.at.<kind>.<name>.<key>``: where a timer waits; one that is set again under its key is moved."""
    return f"rp.tim.at.{kind}.{name}.{key}"


def due(kind: str, name: str) -> str:
    """``rp.tim.due.<kind>.<name>``: where a timer goes when its time has come."""
    return f"rp.tim.due.{kind}.{name}"


def output(host: str, run_id: str, attempt: int, stream: str) -> str:
    """``rp.out.<host>.<run_id>.<attempt>.<stream>``: what an attempt printed."""
    return f"rp.out.{host}.{run_id}.{attempt}.{stream}"


def run_output(run_id: str, attempt: int | None = None, stream: str | None = None) -> str:
    """``rp.out.*.<run_id>.<attempt|*>.<stream|*>``: what a run printed, on whatever host."""
    return f"rp.out.*.{run_id}.{attempt if attempt is not None else '*'}.{stream or '*'}"
