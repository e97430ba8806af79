import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent.process.shim_link import ShimLink

pytestmark = pytest.mark.anyio


@pytest.fixture
async def ends() -> AsyncIterator[tuple[ShimLink, socket.socket]]:
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    link = await ShimLink.over(ours)
    yield link, theirs
    link.close()
    theirs.close()
    await asyncio.sleep(0)


async def say(shim: socket.socket, *messages: Any) -> None:
    for message in messages:
        await asyncio.get_running_loop().sock_sendall(shim, json.dumps(message).encode() + b"\n")


async def test_questions_are_matched_by_their_number(ends: tuple[ShimLink, socket.socket]) -> None:
    link, shim = ends
    first = asyncio.ensure_future(link.ask("hello", 10))
    second = asyncio.ensure_future(link.ask("reaped", 10))
    await asyncio.sleep(0)
    await say(shim, {"id": 2, "reaped": []}, {"id": 99}, {"id": 1, "main": 7})
    assert await first == {"id": 1, "main": 7}
    assert await second == {"id": 2, "reaped": []}


async def test_no_answer_within_the_limit(ends: tuple[ShimLink, socket.socket]) -> None:
    assert await ends[0].ask("hello", 0.02) is None


async def test_a_lost_connection_answers_all(ends: tuple[ShimLink, socket.socket]) -> None:
    link, shim = ends
    heard: list[dict[str, Any]] = []
    waiting = asyncio.ensure_future(link.ask("hello", 10))
    await asyncio.sleep(0)
    await say(shim, {"event": "exit", "exit": {}})
    shim.close()
    assert await asyncio.wait_for(waiting, 10) is None
    assert await link.launched == {"event": "exit", "exit": {}}
    assert await link.ask("hello", 10) is None
    link.listen(heard.append)
    assert [message["event"] for message in heard] == ["exit", "lost"]


async def test_a_line_in_pieces_and_nonsense(ends: tuple[ShimLink, socket.socket]) -> None:
    link, shim = ends
    heard: list[dict[str, Any]] = []
    link.listen(heard.append)
    for piece in (b"not json\n", b'{"event": "e', b'xit"', b"}\n"):
        await asyncio.get_running_loop().sock_sendall(shim, piece)
        await asyncio.sleep(0.01)
    assert heard == [{"event": "exit"}]


async def test_connecting(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    path = deep / "shim.sock"
    assert await ShimLink.connect(path, os.getpid()) is None
    assert await ShimLink.connect(tmp_path / "none" / "shim.sock", os.getpid()) is None
    directory = os.open(deep, os.O_PATH)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"/proc/self/fd/{directory}/shim.sock")
        assert await ShimLink.connect(path, os.getpid()) is None, "nobody listens"
        listener.listen()
        assert await ShimLink.connect(path, os.getpid() + 1) is None, "somebody else listens"
        link = await ShimLink.connect(path, os.getpid())
        assert link is not None
        link.close()
        await asyncio.sleep(0)
    os.close(directory)
