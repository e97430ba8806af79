"""The journal: on disk before it returns, and one bad record costs that record only."""

import asyncio
from pathlib import Path

import pytest

from agent.outbox import journal
from agent.outbox.journal import Journal
from runplane.contract.envelope import Envelope
from runplane.contract.errors import Unavailable
from runplane.contract.events import RunCanceled, RunCompleted
from runplane.contract.run import Actor
from runplane.contract.subjects import host_event
from runplane.stamp import new_run_id, stamp
from tests.small_disk import small_disk

pytestmark = pytest.mark.anyio


def fact(run_id: str, number: int = 0) -> Envelope:
    return stamp(
        RunCanceled(reason=f"reason {number}"),
        subject=host_event("h1", run_id),
        source="host/h1",
        actor=Actor(principal="operator"),
    )


async def test_what_was_appended_is_read_again_in_order(tmp_path: Path) -> None:
    book, run_id = Journal(tmp_path), new_run_id()
    assert book.open() == []
    facts = [fact(run_id, number) for number in range(5)]
    for one in facts:
        await book.append(journal.event(one))
    read = Journal(tmp_path).open()
    assert [journal.envelope_of(record) for record in read] == facts
    assert [record["published"] for record in read] == [False] * 5


async def test_published_and_forgotten_are_remembered(tmp_path: Path) -> None:
    book, kept, gone = Journal(tmp_path), new_run_id(), new_run_id()
    book.open()
    first, second = fact(kept, 1), fact(kept, 2)
    await book.append(journal.event(first), journal.event(second), journal.event(fact(gone)))
    book.note(journal.published(kept, [first.id]))
    book.note(journal.forget(gone))
    book.close()
    for _ in range(2):  # the second time from the file that was written anew
        read = Journal(tmp_path).open()
        assert [(record["envelope"]["id"], record["published"]) for record in read] == [
            (first.id, True),
            (second.id, False),
        ]


@pytest.mark.parametrize("damage", ["flip", "cut", "garbage"])
async def test_a_damaged_record_takes_no_other_along(tmp_path: Path, damage: str) -> None:
    book, run_id = Journal(tmp_path), new_run_id()
    book.open()
    for number in range(3):
        await book.append(journal.event(fact(run_id, number)))
    book.close()
    file = tmp_path / "journal"
    lines = file.read_bytes().splitlines(keepends=True)
    if damage == "flip":
        lines[1] = lines[1][:40] + bytes([lines[1][40] ^ 1]) + lines[1][41:]
    elif damage == "cut":
        lines[2] = lines[2][: len(lines[2]) // 2]
    else:
        lines.insert(1, b"\x00\xff garbage\n")
    file.write_bytes(b"".join(lines))
    again = Journal(tmp_path)
    assert len(again.open()) == (3 if damage == "garbage" else 2)
    assert again.set_aside == 1
    assert (tmp_path / "journal.set-aside").exists()


async def test_a_full_disk_is_an_error_and_leaves_the_file_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book, run_id = Journal(tmp_path), new_run_id()
    book.open()
    await book.append(journal.event(fact(run_id)))
    with Path("/dev/full").open("wb", buffering=0) as full, monkeypatch.context() as patched:
        good, book._fd = book._fd, full.fileno()
        patched.setattr("os.ftruncate", lambda _fd, _size: None)
        with pytest.raises(Unavailable, match="Free some disk"):
            await book.append(journal.event(fact(run_id)))
        book._fd = good
    await book.append(journal.event(fact(run_id)))
    assert len(book.records()) == 2
    book.close()


async def test_the_file_is_written_anew_without_what_is_over(tmp_path: Path) -> None:
    book, kept = Journal(tmp_path), new_run_id()
    book.open()
    await book.append(journal.event(fact(kept)))
    for _ in range(50):
        over = new_run_id()
        end = stamp(
            RunCompleted(),
            subject=host_event("h1", over),
            source="host/h1",
            actor=Actor(principal="operator"),
        )
        await book.append(journal.event(end))
        book.note(journal.forget(over))
    before = (tmp_path / "journal").stat().st_size
    book.rewrite()
    assert (tmp_path / "journal").stat().st_size < before / 10
    assert [record["run_id"] for record in book.records()] == [kept]
    book.close()


async def test_on_a_full_disk_what_is_urgent_still_goes_in_and_nothing_else(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 1) as disk:
        book, run_id = Journal(disk.path), new_run_id()
        book.open()
        first = fact(run_id)
        await book.append(journal.event(first))
        disk.fill()
        long = [journal.event(fact(run_id, number)) for number in range(100)]
        with pytest.raises(Unavailable, match="No space left"):
            await book.append(*long)
        urgent, other = await asyncio.gather(
            book.append(*long, urgent=True), book.append(*long), return_exceptions=True
        )
        assert urgent is None
        assert isinstance(other, Unavailable)
        with pytest.raises(Unavailable):
            await book.append(*long * 10, urgent=True)
        disk.fill()
        book.note(journal.published(run_id, [first.id]))
        book.rewrite()
        assert len(book.records()) == 101, "a fresh file finds no room, and the former one is whole"
        disk.free()
        await book.append(*long)
        assert len(book.records()) == 201
        assert book.records()[0]["published"], "what was noted meanwhile is not lost"
        book.close()


async def test_a_torn_end_is_cut_off_also_where_no_fresh_file_can_be_made(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 1) as disk:
        run_id, file = new_run_id(), disk.path / "journal"
        book = Journal(disk.path)
        book.open()
        await book.append(journal.event(fact(run_id, 1)))
        book.close()
        file.write_bytes(file.read_bytes() + b"0123 half a rec")
        disk.fill()
        again = Journal(disk.path)
        assert len(again.open()) == 1
        disk.free()
        await again.append(journal.event(fact(run_id, 2)))
        again.close()
        assert len(Journal(disk.path).open()) == 2
