"""Streams as files: taken from a running broker, and put into another, with every sequence number, time and consumer.

What the broker hands over is a compressed archive of its own, which only a broker reads. Called by the connection.
"""

import asyncio
import json
from typing import Any, BinaryIO

from nats.aio.client import Client
from nats.errors import Error as NatsError

from runplane.contract.errors import SystemFault, Unavailable

CHUNK_BYTES = 128 * 2**10
_CHUNK_SECONDS = 30.0


async def take(nc: Client, stream: str, file: BinaryIO) -> dict[str, Any]:
    """Write the stream to a file; what has to be known of it to put it back: its ``config`` and ``state``."""
    inbox = nc.new_inbox()
    chunks = await nc.subscribe(inbox)
    try:
        request = {"deliver_subject": inbox, "no_consumers": False, "chunk_size": CHUNK_BYTES}
        described = await _ask(nc, f"$JS.API.STREAM.SNAPSHOT.{stream}", json.dumps(request).encode(), stream)
        while True:
            message = await chunks.next_msg(timeout=_CHUNK_SECONDS)
            if not message.data:
                break
            await asyncio.to_thread(file.write, message.data)
            if message.reply:
                await nc.publish(message.reply)
    except (NatsError, TimeoutError) as error:
        raise Unavailable(f"the broker did not hand over all of {stream} ({type(error).__name__})") from error
    finally:
        await chunks.unsubscribe()
    return {"config": described["config"], "state": described["state"]}


async def put(nc: Client, stream: str, described: dict[str, Any], file: BinaryIO) -> None:
    """Make the stream anew from a file; there must be none of its name."""
    request = json.dumps({"config": described["config"], "state": described["state"]}).encode()
    told = await _ask(nc, f"$JS.API.STREAM.RESTORE.{stream}", request, stream)
    deliver = str(told["deliver_subject"])
    try:
        while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
            await nc.request(deliver, chunk, timeout=_CHUNK_SECONDS)
        last = await nc.request(deliver, b"", timeout=_CHUNK_SECONDS)
    except (NatsError, TimeoutError) as error:
        raise Unavailable(f"the broker did not take all of {stream} ({type(error).__name__})") from error
    _answer(last.data, stream)


async def _ask(nc: Client, subject: str, request: bytes, stream: str) -> dict[str, Any]:
    try:
        reply = await nc.request(subject, request, timeout=_CHUNK_SECONDS)
    except (NatsError, TimeoutError) as error:
        raise Unavailable(f"the broker did not answer about {stream} ({type(error).__name__})") from error
    return _answer(reply.data, stream)


def _answer(data: bytes, stream: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(data)
    if "error" in answer:
        raise SystemFault(
            f"the broker refused {stream}: {answer['error'].get('description', answer['error'])}"
        )
    return answer
