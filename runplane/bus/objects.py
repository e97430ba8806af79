"""Large things, stored by their digest: pieces in a stream, so that storing one twice changes nothing.

The last piece says how many there are; only with all of them, and the right digest, is there an object.
"""

import hashlib
from typing import Protocol

from runplane.bus.pull import Message
from runplane.contract.errors import Unavailable
from runplane.contract.subjects import OBJECTS_STREAM, object_chunk, object_chunks

CHUNK_BYTES = 128 * 2**10
_COUNT = "Rp-Pieces"


class Pieces(Protocol):
    """What is needed of the connection."""

    async def publish_bytes(
        self,
        subject: str,
        payload: bytes,
        *,
        message_id: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> object: ...

    async def read_once(self, stream: str, subject_filter: str, start_seq: int = 1) -> list[Message]: ...


def digest_of(data: bytes) -> str:
    """Its name: SHA-256, in hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


class Objects:
    """Of one connection."""

    def __init__(self, pieces: Pieces) -> None:
        """Nothing is asked yet."""
        self._pieces = pieces

    async def keep(self, data: bytes) -> str:
        """Store it, and give back its digest. Raises Unavailable: it may be there in part."""
        digest = digest_of(data)
        if await self.get(digest) is not None:
            return digest
        count = max(1, -(-len(data) // CHUNK_BYTES))
        for number in range(count):
            piece = data[number * CHUNK_BYTES : (number + 1) * CHUNK_BYTES]
            await self._pieces.publish_bytes(
                object_chunk(digest, number),
                piece,
                message_id=f"{digest}:{number}",
                headers={_COUNT: str(count)},
            )
        return digest

    async def get(self, digest: str) -> bytes | None:
        """The object; None where it is not there, or not all of it. Raises Unavailable."""
        pieces: dict[int, bytes] = {}
        count = 0
        for message in await self._pieces.read_once(OBJECTS_STREAM, object_chunks(digest)):
            pieces[int(message.subject.rpartition(".")[2])] = message.payload
            count = int(message.headers.get(_COUNT, "0"))
        if not count or len(pieces) < count:
            return None
        data = b"".join(pieces[number] for number in range(count))
        if digest_of(data) != digest:
            raise Unavailable(
                f"object {digest} is not what its digest says: it is stored anew by whoever has it"
            )
        return data
