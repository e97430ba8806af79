"""The connection to the broker: publish with a bound, compare-and-set, and reconnect for ever.

A publish that timed out may still have landed, so every retry carries the same message id: the broker's
duplicate window makes it one record. Whoever reads is idempotent by itself as well, since that window ends.
"""

import asyncio
import contextlib
import json
import logging
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, BinaryIO
from urllib.parse import urlsplit

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError, NoServersError
from nats.js.errors import APIError, NotFoundError

from runplane.bus import snapshots
from runplane.bus.objects import Objects
from runplane.bus.pull import BATCH, Consumer, Message, Reader, read_once
from runplane.bus.streams import OLDEST_BROKER, configurations
from runplane.contract.envelope import Envelope, Unreadable, parse
from runplane.contract.errors import BrokerRefused, RunplaneError, Unavailable
from runplane.contract.subjects import LOG_STREAM, OUTPUT_STREAM, TELEMETRY_STREAM, run_story, telemetry
from runplane.contract.value import Value

log = logging.getLogger("runplane.bus")

_WRONG_LAST_SEQUENCE = 10071
_ACK_TIMEOUT_SECONDS = 3.0
OUTPUT_BATCH = 32
"""Output comes in pieces of up to 64 KiB: a larger batch fills what the broker keeps for one connection (64 MiB), and
the broker then ends the connection that everything else needs too."""
_NO_MESSAGE = "404"
_FATAL = frozenset({10054, 10060, 10063})
"""Refusals that no retry mends: message too large, wrong expectation of stream."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stored:
    """The broker has the record: its log position, and whether it was there before."""

    seq: int
    duplicate: bool


@dataclass(frozen=True, slots=True)
class Expect:
    """A compare-and-set: the last position of any subject matching ``subject_filter`` must be ``last_seq``."""

    subject_filter: str
    last_seq: int


class CompareFailed(RunplaneError):
    """Somebody else wrote first: fold again and decide again."""

    code = "compare_failed"


class _Connection(Client):
    """The library's client, whose requests can be cancelled at any moment.

    Before Python 3.12 ``asyncio.wait_for``, which it uses, drops a cancellation that comes together with the answer;
    a loop that is being ended would then go on for ever.
    """

    async def request(self, *args: Any, **options: Any) -> Msg:
        """As in the library."""
        answer = await super().request(*args, **options)
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise asyncio.CancelledError
        return answer


class Bus:
    """One connection. Made by :meth:`connect`; safe for use by many tasks of one loop."""

    def __init__(self, connection: Client, sys_url: str | None) -> None:
        """Keep the connection; use :meth:`connect`."""
        self._nc = connection
        self._js = connection.jetstream(timeout=5.0)
        self._sys_url = sys_url
        self.objects = Objects(self)
        self._wakers: set[Callable[[], None]] = set()
        self.closing = False

    @classmethod
    async def connect(
        cls, url: str, *, name: str, sys_url: str | None = None, timeout: float = 10.0
    ) -> "Bus":
        """Connect within ``timeout`` seconds, check the broker, and from then on reconnect for ever."""
        bus: Bus | None = None

        async def on_error(error: Exception) -> None:
            log.warning("broker: %s", error)

        async def on_reconnect() -> None:
            log.info("broker: connected again")
            if bus is not None:
                bus.wake()

        async def on_disconnect() -> None:
            if bus is None or not bus.closing:
                log.warning("broker: connection lost, reconnecting")

        try:
            async with asyncio.timeout(timeout):
                connection = _Connection()
                await connection.connect(
                    url,
                    name=name,
                    allow_reconnect=True,
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=0.2,  # type: ignore[arg-type]  # the library sleeps so long; its annotation is too narrow
                    connect_timeout=2,
                    ping_interval=5,
                    max_outstanding_pings=2,
                    error_cb=on_error,
                    reconnected_cb=on_reconnect,
                    disconnected_cb=on_disconnect,
                    pending_size=16 * 2**20,
                )
        except (OSError, TimeoutError, NoServersError, NatsError) as error:
            raise Unavailable(
                f"no NATS server answers at {_without_credentials(url)} ({type(error).__name__}: {error}): "
                f"start it with `runplane up`, or check --nats-url"
            ) from None
        bus = cls(connection, sys_url)
        try:
            await bus._check_broker(url)
        except BaseException:
            await connection.close()
            raise
        return bus

    async def _check_broker(self, url: str) -> None:
        version = str(self._nc._server_info.get("version", "0"))  # noqa: SLF001 — the parsed form drops suffixes
        numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:3])
        if numbers < OLDEST_BROKER:
            needed = ".".join(map(str, OLDEST_BROKER))
            raise BrokerRefused(
                f"the NATS server at {_without_credentials(url)} is version {version}: Runplane needs {needed} or "
                f"newer. Update it, or leave --nats-url out to use the embedded one"
            )
        if not self._nc._server_info.get("jetstream"):  # noqa: SLF001
            raise BrokerRefused(
                f"the NATS server at {_without_credentials(url)} has JetStream switched off: add "
                f"`jetstream {{ store_dir: …, sync_interval: always }}` to its configuration"
            )

    @property
    def connected(self) -> bool:
        """Whether the broker is reached at this moment."""
        return bool(self._nc.is_connected)

    def on_wake(self, waker: Callable[[], None]) -> Callable[[], None]:
        """Have ``waker`` called after every reconnection; returns what ends that."""
        self._wakers.add(waker)
        return lambda: self._wakers.discard(waker)

    def wake(self) -> None:
        """Tell every reader that its outstanding pulls may be gone."""
        for waker in list(self._wakers):
            waker()

    async def ensure_streams(self, replicas: int = 1) -> None:
        """Declare the streams; an existing one is brought up to date, never made smaller in what it promises."""
        for configuration in configurations(replicas):
            try:
                await self._js.add_stream(configuration)
            except APIError as error:
                if error.err_code != 10058:  # noqa: PLR2004 — the name is in use with another configuration
                    raise BrokerRefused(f"stream {configuration.name}: {error.description}") from None
                await self._js.update_stream(configuration)

    async def publish(
        self, envelope: Envelope, expect: Expect | None = None, timeout: float = 10.0
    ) -> Stored:
        """Store one record; return when the broker has it on disk.

        With ``expect``, raises :class:`CompareFailed` when somebody else wrote first. The broker compares before it
        looks for duplicates, so a record of ours that had landed unnoticed is looked for before that is believed.
        """
        headers = {"Nats-Expected-Stream": LOG_STREAM}
        if expect is not None:
            headers["Nats-Expected-Last-Subject-Sequence"] = str(expect.last_seq)
            headers["Nats-Expected-Last-Subject-Sequence-Subject"] = expect.subject_filter
        try:
            return await self.publish_bytes(
                envelope.subject, envelope.encode(), message_id=envelope.id, headers=headers, timeout=timeout
            )
        except CompareFailed:
            for message in await self.read_once(LOG_STREAM, envelope.subject):
                if message.headers.get("Nats-Msg-Id") == envelope.id:
                    return Stored(seq=message.seq, duplicate=True)
            raise

    async def publish_bytes(
        self,
        subject: str,
        payload: bytes,
        *,
        message_id: str | None = None,
        headers: dict[str, str] | None = None,
        timeout: float = 5.0,
    ) -> Stored:
        """Store bytes; retries the same message id until ``timeout``, then raises :class:`Unavailable`."""
        sent = {**(headers or {}), **({"Nats-Msg-Id": message_id} if message_id else {})}
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        pause = 0.02
        while True:
            try:
                left = max(0.05, min(_ACK_TIMEOUT_SECONDS, deadline - loop.time()))
                reply = await self._nc.request(subject, payload, timeout=left, headers=sent or None)
                return _stored(reply.data)
            except (NoRespondersError, NatsError, TimeoutError, OSError) as error:
                trouble: Exception = error
            except _TryAgain as error:
                trouble = error
            if loop.time() + pause >= deadline:
                raise Unavailable(
                    f"the broker did not store the record within {timeout:g} s ({type(trouble).__name__}: {trouble}): "
                    f"it may still have landed; ask again with the same id"
                ) from None
            await asyncio.sleep(pause)
            pause = min(pause * 2, 0.5)

    async def set_timer(self, at: datetime, *, key: str, due: str, payload: bytes, message_id: str) -> None:
        """Have the broker hand ``payload`` over on the subject ``due`` at a moment; one under the same key is moved.

        ``key`` is the subject where it waits. Whoever gets it decides again from the state as it then is.
        """
        headers = {
            "Nats-Schedule": f"@at {at.astimezone(UTC).isoformat().replace('+00:00', 'Z')}",
            "Nats-Schedule-Target": due,
        }
        await self.publish_bytes(key, payload, message_id=message_id, headers=headers)

    def read_log(self, start_seq: int = 1, subject_filter: str | None = None) -> Reader:
        """Follow the log from a position on, in order and without gaps."""
        return self._reader(LOG_STREAM, start_seq, subject_filter)

    def read_output(self, subject_filter: str, start_seq: int = 1) -> Reader:
        """Follow what runs print."""
        return self._reader(OUTPUT_STREAM, start_seq, subject_filter, batch=OUTPUT_BATCH)

    def read_telemetry(self, *, last_per_subject: bool = True, host: str | None = None) -> Reader:
        """Follow heartbeats and samples, of one host or of all, by default beginning with each host's last one."""
        subject_filter = telemetry(host) if host is not None else None
        return self._reader(TELEMETRY_STREAM, None if last_per_subject else 1, subject_filter)

    def _reader(
        self, stream: str, start_seq: int | None, subject_filter: str | None, batch: int = BATCH
    ) -> Reader:
        return Reader(
            self._nc,
            self._js,
            stream=stream,
            start_seq=start_seq,
            subject_filter=subject_filter,
            on_wake=self.on_wake,
            batch=batch,
        )

    async def durable(
        self,
        name: str,
        subject_filter: str,
        *,
        stream: str = LOG_STREAM,
        batch: int = 100,
        ack_wait: float = 30.0,
        max_ack_pending: int = 1000,
    ) -> Consumer:
        """A durable consumer that several processes may share; each message goes to one of them."""
        consumer = Consumer(
            self._nc,
            self._js,
            stream=stream,
            name=name,
            subject_filter=subject_filter,
            batch=batch,
            on_wake=self.on_wake,
        )
        await consumer.declare(ack_wait=ack_wait, max_ack_pending=max_ack_pending)
        return consumer

    async def story(self, run_id: str) -> list[tuple[int, Envelope]]:
        """All records of one run's story as the log holds them now; unreadable ones are left out."""
        records: list[tuple[int, Envelope]] = []
        for message in await self.read_once(LOG_STREAM, run_story(run_id)):
            try:
                records.append((message.seq, parse(message.payload, message.subject)))
            except Unreadable as error:
                log.warning("record %d of %s left out: %s", message.seq, run_id, error)
        return records

    async def read_once(self, stream: str, subject_filter: str, start_seq: int = 1) -> list[Message]:
        """All messages of a filter that are there now, in order; Unavailable when not all of them could be read."""
        try:
            return await read_once(self._nc, self._js, stream, subject_filter, start_seq)
        except (NatsError, TimeoutError, OSError) as error:
            raise Unavailable(
                f"the broker did not hand over all of {stream} on {subject_filter} ({type(error).__name__}: {error})"
            ) from error

    async def remove(self, stream: str, subject_filter: str) -> None:
        """Remove every message of a filter from a stream that allows it. Raises Unavailable."""
        try:
            await self._js.purge_stream(stream, subject=subject_filter)
        except (NatsError, TimeoutError, OSError) as error:
            raise Unavailable(
                f"the broker did not remove {subject_filter} ({type(error).__name__}: {error})"
            ) from error

    async def snapshot(self, stream: str, file: BinaryIO) -> dict[str, Any]:
        """Write a stream to a file; what :meth:`put_snapshot` has to know of it. Raises Unavailable."""
        return await snapshots.take(self._nc, stream, file)

    async def put_snapshot(self, stream: str, described: dict[str, Any], file: BinaryIO) -> None:
        """Make a stream from a file, with every sequence number and time. Raises Unavailable, SystemFault."""
        await snapshots.put(self._nc, stream, described, file)

    async def last_position(self, stream: str) -> int | None:
        """The last position of a stream; None where there is no such stream."""
        try:
            return int((await self._js.stream_info(stream)).state.last_seq)
        except NotFoundError:
            return None

    async def delete_stream(self, stream: str) -> None:
        """Delete a stream, with all that is in it."""
        await self._js.delete_stream(stream)

    async def last_message(self, stream: str, subject_filter: str) -> Message | None:
        """The last message stored on any subject that matches; None where there is none. Raises Unavailable."""
        request = json.dumps({"last_by_subj": subject_filter}).encode()
        try:
            reply = await self._nc.request(
                f"$JS.API.DIRECT.GET.{stream}", request, timeout=_ACK_TIMEOUT_SECONDS
            )
        except (NatsError, TimeoutError, OSError) as error:
            raise Unavailable(
                f"the broker did not look up {subject_filter} ({type(error).__name__})"
            ) from None
        headers = dict(reply.headers or {})
        status = headers.get("Status")
        if status == _NO_MESSAGE:
            return None
        if status is not None:
            raise Unavailable(
                f"the broker could not look up {subject_filter}: {headers.get('Description', status)}"
            )
        return Message(
            subject=headers["Nats-Subject"],
            payload=reply.data,
            seq=int(headers["Nats-Sequence"]),
            time_ns=_nanoseconds(headers.get("Nats-Time-Stamp", "")),
            headers=headers,
        )

    async def time(self) -> datetime:
        """The broker's clock: the one that all go by where an order is good until a moment. Raises Unavailable."""
        subject = f"$JS.API.STREAM.INFO.{LOG_STREAM}"
        try:
            reply = await self._nc.request(subject, b"", timeout=_ACK_TIMEOUT_SECONDS)
            return datetime.fromisoformat(json.loads(reply.data)["ts"])
        except (NatsError, TimeoutError, OSError, KeyError, ValueError) as error:
            raise Unavailable(
                f"the broker did not say what time it is ({type(error).__name__}: {error})"
            ) from error

    async def time_for(self, order: Value) -> datetime:
        """The moment at which an order is decided: by the broker's clock where it matters, for hosts' may be wrong."""
        return await self.time() if getattr(order, "expires_at", None) is not None else datetime.now(UTC)

    async def last_seq(self, stream: str = LOG_STREAM) -> int:
        """The last position of a stream."""
        return int((await self._js.stream_info(stream)).state.last_seq)

    async def stored_bytes(self) -> dict[str, int]:
        """How much each stream takes on the broker's disk, by its name."""
        return {
            configuration.name or "": int((await self._js.stream_info(configuration.name or "")).state.bytes)
            for configuration in configurations()
        }

    def certificate_expiry(self) -> datetime | None:
        """Until when the broker's certificate is good; None where the connection is not encrypted."""
        writer = getattr(self._nc._transport, "_io_writer", None)  # noqa: SLF001 — the library does not tell
        encrypted = writer.get_extra_info("ssl_object") if writer is not None else None
        until = (encrypted.getpeercert() or {}).get("notAfter") if encrypted is not None else None
        return datetime.fromtimestamp(ssl.cert_time_to_seconds(until), UTC) if until else None

    async def stream_created(self, stream: str = LOG_STREAM) -> str:
        """When the stream was created: two streams of one name are told apart by it."""
        return str((await self._js.stream_info(stream)).created)

    async def consumer_exists(self, name: str, stream: str = LOG_STREAM) -> bool:
        """Whether a durable consumer of this name exists."""
        try:
            await self._js.consumer_info(stream, name)
        except NotFoundError:
            return False
        return True

    async def sync_always(self) -> bool | None:
        """Whether the broker syncs every write to disk; None where it does not tell (no system account)."""
        told = await self._ask_system("JSZ", b'{"config": true}')
        return bool(told.get("config", {}).get("sync_always", False)) if told is not None else None

    async def storage_fault(self) -> str | None:
        """Why the broker stores nothing more in some stream; None where it does, or does not tell.

        After a failed write, as on a full disk, a stream stays closed to writing until the broker is started anew.
        """
        told = await self._ask_system("HEALTHZ", b"")
        error = str(told.get("error", "")) if told is not None else ""
        return error if "write error" in error else None

    async def _ask_system(self, what: str, request: bytes) -> dict[str, Any] | None:
        """What the broker says of itself; None where it does not tell."""
        if self._sys_url is None:
            return None
        connection = await nats.connect(
            self._sys_url, name="runplane-check", max_reconnect_attempts=1, connect_timeout=2
        )
        try:
            reply = await connection.request(f"$SYS.REQ.SERVER.PING.{what}", request, timeout=2.0)
        except (NatsError, TimeoutError):
            return None
        finally:
            await connection.close()
        told: dict[str, Any] = json.loads(reply.data).get("data", {})
        return told

    async def close(self) -> None:
        """Close the connection."""
        self.closing = True
        self._wakers.clear()
        with contextlib.suppress(NatsError, OSError):  # it may be gone already
            await self._nc.close()


class _TryAgain(Exception):
    """The broker answered with a refusal that passes."""


def _stored(data: bytes) -> Stored:
    answer: dict[str, Any] = json.loads(data)
    error = answer.get("error")
    if error is None:
        return Stored(seq=int(answer["seq"]), duplicate=bool(answer.get("duplicate", False)))
    if error.get("err_code") == _WRONG_LAST_SEQUENCE:
        raise CompareFailed(str(error.get("description", "")))
    if error.get("err_code") in _FATAL or error.get("code") == 400:  # noqa: PLR2004
        raise BrokerRefused(
            f"the broker refused the record: {error.get('description')} ({error.get('err_code')})"
        )
    raise _TryAgain(f"{error.get('description')} ({error.get('err_code')})")


def _without_credentials(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}:{parts.port}" if parts.hostname else url


def _nanoseconds(stamp: str) -> int:
    """What a time stamp of the broker says, since 1970; 0 where it says none."""
    try:
        whole, _, fraction = stamp.rstrip("Z").partition(".")
        seconds = int(datetime.fromisoformat(f"{whole}+00:00").timestamp())
        return seconds * 10**9 + int(fraction.ljust(9, "0")[:9] or 0)
    except ValueError:
        return 0
