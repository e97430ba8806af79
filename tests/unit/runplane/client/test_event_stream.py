import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import pytest

from runplane.client import Client, event_stream
from runplane.client.event_stream import EventLines, ServerEvent
from runplane.contract.errors import NotFound, Unavailable

pytestmark = pytest.mark.anyio

RUN_ID = "run_0dcbc991c0d4"
OPEN = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nRunplane-Seq: 40\r\nConnection: close\r\n\r\n"
Request = dict[str, str]


@asynccontextmanager
async def serving(*answers: bytes) -> AsyncIterator[tuple[Client, list[Request]]]:
    """A server that gives each connection the next answer and closes it; the last one goes on for ever."""
    requests: list[Request] = []
    left = list(answers)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        requests.append({"line": head[0], **headers})
        writer.write(left.pop(0) if len(left) > 1 else left[0])
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, Client(f"http://127.0.0.1:{port}", "rp_x") as client:
        yield client, requests


def event(seq: int, name: str = "RunKilled") -> bytes:
    return f'id: {seq}\nevent: {name}\ndata: {{"seq": {seq}}}\n\n'.encode()


def output(offset: int, text: str) -> bytes:
    data = f'{{"stream":"stdout","attempt":1,"offset":{offset},"text":"{text}"}}'
    return f"event: output\nid: {offset + 900}\ndata: {data}\n\n".encode()


def parsed(text: str) -> list[ServerEvent]:
    lines = EventLines()
    return [found for line in text.split("\n") if (found := lines.take(line)) is not None]


def test_lines_become_events_by_the_standard() -> None:
    assert parsed(": ping\n\nid: 7\nevent: A\ndata: one\ndata:two\n\ndata\n\nid\ndata: x\n\n") == [
        ServerEvent(name="A", data="one\ntwo", id="7"),
        ServerEvent(name="message", data="", id="7"),
        ServerEvent(name="message", data="x", id=""),
    ]


async def test_a_broken_stream_goes_on_after_the_last_event() -> None:
    async with serving(
        OPEN + event(41) + event(42) + b"id: 43\ndata: torn", OPEN + event(43) + event(44)
    ) as (client, requests):
        seen = []
        async with aclosing(client.stream(run_id=RUN_ID)) as changes:
            async for change in changes:
                seen.append(change.seq)
                if change.seq == 44:
                    break
    assert seen == [41, 42, 43, 44]
    assert "last-event-id" not in requests[0]
    assert requests[1]["last-event-id"] == "42"


async def test_a_stream_that_breaks_before_its_first_event_misses_nothing() -> None:
    async with serving(OPEN, OPEN + event(41)) as (client, requests), aclosing(client.stream()) as changes:
        assert (await anext(changes)).seq == 41
    assert requests[1]["last-event-id"] == "40"


async def test_output_that_comes_twice_is_given_once_and_ends_with_the_run() -> None:
    first = OPEN + output(0, "a") + output(1, "b")
    async with serving(first, OPEN + output(1, "b") + output(2, "c") + b"event: end\ndata: {}\n\n") as (
        client,
        requests,
    ):
        texts = [item.text async for item in client.follow_logs(RUN_ID, tail=5)]
    assert texts == ["a", "b", "c"]
    # The log position of the answer says nothing about a stream of output.
    assert "last-event-id" not in requests[0]
    assert requests[1]["last-event-id"] == "901"


async def test_output_is_not_taken_up_from_the_position_of_the_log() -> None:
    async with serving(OPEN, OPEN + b"event: end\ndata: {}\n\n") as (client, requests):
        assert [item async for item in client.follow_logs(RUN_ID)] == []
    assert "last-event-id" not in requests[1]


async def test_a_refusal_is_not_tried_again() -> None:
    refusal = (
        b'HTTP/1.1 404 Not Found\r\nContent-Length: 43\r\n\r\n{"code": "run_not_found", "detail": "gone "}'
    )
    async with serving(refusal) as (client, requests):
        with pytest.raises(NotFound):
            await anext(client.stream(run_id=RUN_ID))
    assert len(requests) == 1


async def test_a_stream_that_never_says_anything_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "PATIENCE", 0.5)
    monkeypatch.setattr(event_stream, "LONGEST_DELAY", 0.05)
    async with serving(OPEN) as (client, requests):
        with pytest.raises(Unavailable):
            await anext(client.stream())
    assert 2 < len(requests) < 40


async def test_lines_end_where_the_standard_says_and_characters_may_be_torn() -> None:
    text = 'id: 41\r\nevent: A\r\ndata: {"seq": 41, "x": "ä\u2028b"}\r\n\r\n'.encode()
    async with serving(OPEN + text) as (client, _), aclosing(client.stream()) as changes:
        assert (await anext(changes)).seq == 41
