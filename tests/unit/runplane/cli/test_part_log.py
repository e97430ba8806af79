import os
from pathlib import Path

from runplane.cli.part_log import bound, last_lines, open_to_append


def test_a_log_that_grew_too_large_is_set_aside_under_its_writer(tmp_path: Path) -> None:
    log = tmp_path / "part.log"
    descriptor = open_to_append(log)
    os.write(descriptor, b"a" * 100 + b"z" * 50)

    assert bound(log, 50)
    os.write(descriptor, b"afterwards\n")
    os.close(descriptor)

    assert (tmp_path / "part.log.1").read_bytes() == b"z" * 50
    assert log.read_bytes() == b"afterwards\n"
    assert not bound(log, 50)


def test_a_log_that_is_not_there_is_small_enough(tmp_path: Path) -> None:
    assert not bound(tmp_path / "part.log")
    assert last_lines(tmp_path / "part.log") == []


def test_only_the_last_life_is_shown_and_control_characters_are_not_sent_to_the_terminal(
    tmp_path: Path,
) -> None:
    log = tmp_path / "part.log"
    log.write_bytes(b"an earlier life\n")
    since = log.stat().st_size
    with log.open("ab") as file:
        file.write(b"one\n\n\x1b[31mtwo\xff\n")

    assert last_lines(log, since=since) == ["one", "�[31mtwo�"]
    assert last_lines(log, since=since, lines=1) == ["�[31mtwo�"]
