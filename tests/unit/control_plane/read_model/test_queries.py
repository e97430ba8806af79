from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from control_plane.read_model import EventFilter, ReadModel, RunFilter
from runplane.contract.errors import InvalidInput
from runplane.contract.events import ConditionRaised, ProgressReported, RunCompleted
from runplane.contract.run import Condition, Run, Status
from tests.log_messages import STORED_NS, messages
from tests.records import HOST, NOON, at, claim, on_host, record, spawned, start

STORED = datetime.fromtimestamp(STORED_NS / 1e9, UTC)
STUCK = Condition(type="stuck", verdict="silent", since=NOON)


def run_id(number: int) -> str:
    return f"run_{number:012x}"


@pytest.fixture
def model(tmp_path: Path) -> Iterator[ReadModel]:
    opened = ReadModel(tmp_path / "read_model.sqlite")
    log = [start(run_id(number), workflow="lina" if number % 2 else "felipe") for number in range(10)]
    for number in range(5):
        log.append(claim().model_copy(update={"subject": f"rp.evt.host.{HOST}.{run_id(number)}"}))
        log.append(on_host(spawned().data, run_id=run_id(number), time=at(number)))
    log.append(on_host(ConditionRaised(condition=STUCK), run_id=run_id(1)))
    log.append(on_host(RunCompleted(), run_id=run_id(0)))
    opened.project(messages(log))
    yield opened
    opened.close()


def ids(model: ReadModel, asked: RunFilter) -> list[str]:
    return [run.run_id for run in model.runs(asked).items]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (RunFilter(), range(9, -1, -1)),
        (RunFilter(sort="created_at"), range(10)),
        (RunFilter(sort="run_id", limit=3), range(3)),
        (RunFilter(status=(Status.RUNNING,)), (4, 3, 2, 1)),
        (RunFilter(status=(Status.RUNNING, Status.COMPLETED)), (4, 3, 2, 1, 0)),
        (RunFilter(workflow="lina"), (9, 7, 5, 3, 1)),
        (RunFilter(host=HOST), (4, 3, 2, 1, 0)),
        (RunFilter(stuck=True), (1,)),
        (RunFilter(stuck=False, host=HOST), (4, 3, 2, 0)),
        (RunFilter(started_after=at(2)), (4, 3)),
        (RunFilter(q="FELIPE", host=HOST), (4, 2, 0)),
        (RunFilter(q=run_id(7)), (7,)),
        (RunFilter(q="100%"), ()),
        (RunFilter(sort="-started_at", limit=2), (4, 3)),
    ],
)
def test_runs_are_filtered_and_sorted(
    model: ReadModel, asked: RunFilter, expected: range | tuple[int, ...]
) -> None:
    assert ids(model, asked) == [run_id(number) for number in expected]


@pytest.mark.parametrize(
    "sort", ["created_at", "-created_at", "status", "-workflow", "host", "started_at", "-run_id"]
)
def test_pages_hold_every_run_once(model: ReadModel, sort: str) -> None:
    found: list[Run] = []
    cursor = None
    while True:
        page = model.runs(RunFilter(sort=sort, limit=3, cursor=cursor))
        assert page.total == 10
        found += page.items
        cursor = page.next_cursor
        if cursor is None:
            break

    assert sorted(run.run_id for run in found) == [run_id(number) for number in range(10)]
    assert [run.run_id for run in found] == ids(model, RunFilter(sort=sort))


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        (RunFilter(sort="colour"), "sort"),
        (RunFilter(cursor="!"), "cursor"),
        (RunFilter(cursor="e30"), "cursor"),
        (RunFilter(sort="run_id", cursor="WyItY3JlYXRlZF9hdCIsIDEsIDFd"), "cursor"),
    ],
)
def test_a_sort_or_cursor_that_cannot_be_is_named(model: ReadModel, asked: RunFilter, field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        model.runs(asked)

    assert caught.value.fields["field"] == field


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (EventFilter(type="ConditionRaised"), [21]),
        (EventFilter(run_id=run_id(0)), [1, 11, 12, 22]),
        (EventFilter(host=HOST, since_seq=19), [20, 21, 22]),
        (EventFilter(actor="nobody"), []),
        (EventFilter(actor="operator", since_seq=20), [21, 22]),
        (EventFilter(limit=2), [1, 2]),
        (EventFilter(limit=2, newest=True), [21, 22]),
        (EventFilter(since=STORED.replace(second=20)), [20, 21, 22]),
        (EventFilter(until=STORED.replace(second=2)), [1, 2]),
    ],
)
def test_records_are_found(model: ReadModel, asked: EventFilter, expected: list[int]) -> None:
    assert [seq for seq, _ in model.events(asked)] == expected


def test_the_times_of_records_are_the_brokers_whatever_a_host_says(tmp_path: Path) -> None:
    model = ReadModel(tmp_path / "read_model.sqlite")
    wrong = on_host(ProgressReported(done=1), time=datetime(1999, 1, 1, tzinfo=UTC))
    model.project(messages([start(), claim(), wrong]))

    found = model.events(EventFilter(since=STORED.replace(second=3)))
    assert [envelope.id for _, envelope in found] == [wrong.id]
    model.close()


def test_counts_and_a_story_of_some_types(model: ReadModel) -> None:
    assert model.status_counts() == {"completed": 1, "pending": 5, "running": 4}
    assert [seq for seq, _ in model.story(run_id(0), {"StartRun", "RunCompleted"})] == [1, 22]


def test_nothing_is_known_of_a_run_nobody_asked_for(model: ReadModel) -> None:
    assert model.state("run_ffffffffffff") is None
    assert model.run("run_ffffffffffff") is None
    assert model.state_at("run_ffffffffffff").run is None

    model.project(messages([record(RunCompleted(), run_id="run_ffffffffffff")], first_seq=23))
    assert model.run("run_ffffffffffff") is None
    assert model.state("run_ffffffffffff") is not None
