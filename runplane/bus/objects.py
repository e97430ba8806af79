"""Large things, stored by their digest: pieces in a stream, so that storing one twice changes nothing.

The last piece says how many there are; only with all of them, and the right digest, is there an object.
"""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
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

    async def last_message(self, stream: str, subject_filter: str) -> Message | None: ...

    async def remove(self, stream: str, subject_filter: str) -> None: ...


class FileChanged(Exception):
    """A file was written to while it was being stored."""


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
        if await self.get(digest) is None:
            count = _count(len(data))
            for number in range(count):
                piece = data[number * CHUNK_BYTES : (number + 1) * CHUNK_BYTES]
                await self._put(digest, number, count, piece)
        return digest

    async def keep_file(self, path: Path) -> tuple[str, int]:
        """Store a file of any size, a piece at a time; its digest and its bytes.

        OSError where it cannot be read, FileChanged where it was written to, Unavailable: it may be there in part.
        """
        digest, size = await asyncio.to_thread(_digest_of_file, path)
        if await self.has(digest):
            return digest, size
        count, again = _count(size), hashlib.sha256()
        with path.open("rb") as file:
            for number in range(count):
                piece = await asyncio.to_thread(file.read, CHUNK_BYTES)
                again.update(piece)
                if number == count - 1 and again.hexdigest() != digest:
                    raise FileChanged(f"{path} was written to while it was being stored")
                await self._put(digest, number, count, piece)
        return digest, size

    async def has(self, digest: str) -> bool:
        """Whether all of it is there; it is not read. Raises Unavailable."""
        last = await self._pieces.last_message(OBJECTS_STREAM, object_chunks(digest))
        if last is None:
            return False
        return int(last.subject.rpartition(".")[2]) == int(last.headers.get(_COUNT, "0")) - 1

    async def fetch(self, digest: str, path: Path) -> bool:
        """Put it into a file, a piece at a time; False where not all of it is there, and there is no file then."""
        building = path.with_name(f".{path.name}.part")
        try:
            with building.open("wb") as file:
                async for piece in self._read(digest):
                    await asyncio.to_thread(file.write, piece)
            found, _ = await asyncio.to_thread(_digest_of_file, building)
            if found != digest:
                return False
            os.replace(building, path)  # noqa: PTH105
            return True
        finally:
            building.unlink(missing_ok=True)

    async def remove(self, digest: str) -> None:
        """Remove it. Raises Unavailable."""
        await self._pieces.remove(OBJECTS_STREAM, object_chunks(digest))

    async def _read(self, digest: str) -> AsyncIterator[bytes]:
        number, count = 0, 1
        while number < count:
            piece = await self._pieces.last_message(OBJECTS_STREAM, object_chunk(digest, number))
            if piece is None:
                return
            count = int(piece.headers.get(_COUNT, "0"))
            yield piece.payload
            number += 1

    async def _put(self, digest: str, number: int, count: int, piece: bytes) -> None:
        await self._pieces.publish_bytes(
            object_chunk(digest, number),
            piece,
            message_id=f"{digest}:{number}",
            headers={_COUNT: str(count)},
        )

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


def _count(size: int) -> int:
    return max(1, -(-size // CHUNK_BYTES))


def _digest_of_file(path: Path) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while piece := file.read(CHUNK_BYTES):
            digest.update(piece)
            size += len(piece)
    return digest.hexdigest(), size
