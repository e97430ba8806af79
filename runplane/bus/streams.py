"""What the broker keeps: the streams, and what a broker must be able to do."""

from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig

from runplane.contract.subjects import (
    ALL_COMMANDS,
    ALL_EVENTS,
    ALL_OBJECTS,
    ALL_OUTPUT,
    ALL_TELEMETRY,
    ALL_TIMERS,
    LOG_STREAM,
    OBJECTS_STREAM,
    OUTPUT_STREAM,
    TELEMETRY_STREAM,
    TIMERS_STREAM,
)

OLDEST_BROKER = (2, 14, 3)
DUPLICATE_WINDOW_SECONDS = 120.0
_DAY_SECONDS = 86_400.0


def configurations(replicas: int = 1) -> list[StreamConfig]:
    """The streams: the log for ever and append-only, the others bounded by age and size."""
    return [
        StreamConfig(
            name=LOG_STREAM,
            description="Every command and every event, in one total order",
            subjects=[ALL_COMMANDS, ALL_EVENTS],
            retention=RetentionPolicy.LIMITS,
            storage=StorageType.FILE,
            num_replicas=replicas,
            deny_delete=True,
            deny_purge=True,
            allow_direct=True,
            duplicate_window=DUPLICATE_WINDOW_SECONDS,
        ),
        StreamConfig(
            name=OUTPUT_STREAM,
            description="What runs printed, in chunks",
            subjects=[ALL_OUTPUT],
            retention=RetentionPolicy.LIMITS,
            storage=StorageType.FILE,
            num_replicas=replicas,
            discard=DiscardPolicy.OLD,
            max_age=7 * _DAY_SECONDS,
            max_bytes=4 * 2**30,
            allow_direct=True,
            duplicate_window=DUPLICATE_WINDOW_SECONDS,
        ),
        StreamConfig(
            name=OBJECTS_STREAM,
            description="What is too large for a record, in pieces, by its digest",
            subjects=[ALL_OBJECTS],
            retention=RetentionPolicy.LIMITS,
            storage=StorageType.FILE,
            num_replicas=replicas,
            discard=DiscardPolicy.OLD,
            max_age=30 * _DAY_SECONDS,
            max_bytes=4 * 2**30,
            allow_direct=True,
            duplicate_window=DUPLICATE_WINDOW_SECONDS,
        ),
        StreamConfig(
            name=TELEMETRY_STREAM,
            description="Heartbeats and samples, one message a host and interval",
            subjects=[ALL_TELEMETRY],
            retention=RetentionPolicy.LIMITS,
            storage=StorageType.FILE,
            num_replicas=replicas,
            discard=DiscardPolicy.OLD,
            max_age=3600.0,
            max_bytes=64 * 2**20,
            allow_direct=True,
            duplicate_window=1.0,
        ),
        StreamConfig(
            name=TIMERS_STREAM,
            description="What is to be looked at later: waits until its time has come, and goes when it was handled",
            subjects=[ALL_TIMERS],
            retention=RetentionPolicy.WORK_QUEUE,
            storage=StorageType.FILE,
            num_replicas=replicas,
            discard=DiscardPolicy.OLD,  # a stream with schedules cannot discard new
            max_age=30 * _DAY_SECONDS,
            max_bytes=1 * 2**30,
            allow_msg_schedules=True,
            duplicate_window=DUPLICATE_WINDOW_SECONDS,
        ),
    ]
