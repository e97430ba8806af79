"""Files of large values: read from their place alone, bounded, and without the run's secrets."""

import json
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, cast

import pytest

from agent.values import MOST_BYTES, Values
from agent.watch.reports import Report
from runplane.bus import Bus, digest_of
from runplane.contract.events import StepCompleted, StepStarted


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "values").mkdir()
    return tmp_path


class Taking:
    """Values whose uploads are counted, and go nowhere."""

    def __init__(self, place: Path) -> None:
        self.count = 0
        self.values = Values(
            cast("Bus", None), place, spawn=self._spawn, mask=lambda text: text.replace("hush", "•••")
        )

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self.count += 1
        work.close()

    def result(self, name: str) -> Any:
        fact = StepCompleted(name="s", index=0, result={"$file": name, "bytes": 9})
        told = self.values.taken(Report(key=0, fact=fact)).fact
        assert isinstance(told, StepCompleted)
        return told.result


def test_a_file_is_told_by_the_digest_of_what_is_kept_of_it(place: Path) -> None:
    (place / "values" / "a.json").write_text('["hush", 1]')
    taking = Taking(place)
    digest = digest_of(json.dumps(["•••", 1]).encode())
    assert taking.result("a.json") == {"$object": digest, "bytes": 9}
    assert taking.result("a.json") == {"$object": digest, "bytes": 9}
    assert taking.count == 1


def test_inputs_are_told_each(place: Path) -> None:
    (place / "values" / "a.json").write_text("[1]")
    fact = StepStarted(name="s", index=0, inputs={"a": {"$file": "a.json", "bytes": 3}, "b": 2})
    told = Taking(place).values.taken(Report(key=0, fact=fact)).fact
    assert isinstance(told, StepStarted)
    assert told.inputs == {"a": {"$object": digest_of(b"[1]"), "bytes": 3}, "b": 2}


@pytest.mark.parametrize(
    "name",
    ["../secret.json", "/etc/hostname", ".hidden", "none.json", "link.json", "torn.json", "big.json", ""],
)
def test_what_may_not_be_read_is_left_out(place: Path, name: str) -> None:
    (place / "secret.json").write_text("1")
    (place / "values" / ".hidden").write_text("1")
    (place / "values" / "torn.json").write_text("[1")
    (place / "values" / "link.json").symlink_to(place / "secret.json")
    (place / "values" / "big.json").write_bytes(b'"' + b"x" * MOST_BYTES + b'"')
    taking = Taking(place)
    assert taking.result(name) == {"$truncated": True, "bytes": 9}
    assert taking.count == 0
