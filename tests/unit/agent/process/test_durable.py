import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from agent.process import durable


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


def test_replace(tmp_path: Path, directory: int) -> None:
    durable.replace_file(directory, "file", b"one" * 1000)
    durable.replace_file(directory, "file", b"two")
    assert (tmp_path / "file").read_bytes() == b"two"
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_of_many_who_create_exactly_one_does(tmp_path: Path, directory: int) -> None:
    with ThreadPoolExecutor(8) as pool:
        created = list(pool.map(lambda n: durable.create_file(directory, "file", str(n).encode()), range(32)))
    assert created.count(True) == 1
    assert (tmp_path / "file").read_text() == str(created.index(True))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_reserve_becomes_the_file(tmp_path: Path, directory: int) -> None:
    durable.reserve(directory, "reserve", 4096)
    assert (tmp_path / "reserve").stat().st_blocks > 0
    durable.use_reserve(directory, "reserve", "file", b"content")
    assert (tmp_path / "file").read_bytes() == b"content"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_link_in_the_way_is_not_followed(tmp_path: Path, directory: int) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (tmp_path / "reserve").symlink_to(precious)
    with pytest.raises(OSError, match="symbolic link"):
        durable.use_reserve(directory, "reserve", "file", b"content")
    assert precious.read_text() == "mine"
