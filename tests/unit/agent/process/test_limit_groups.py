"""Which files get which limits, on trees of files like those of both versions; the kernel's own are tried elsewhere."""

from pathlib import Path

import pytest

from agent.process.cgroup import Cgroup
from agent.process.limit_events import reached
from agent.process.limit_groups import Bounds, LimitGroups, LimitHierarchies

ALL = Bounds(memory=64 * 2**20, processes=20, cpus=1.5)


def unified(place: Path, *files: str) -> Cgroup:
    place.mkdir(parents=True)
    for name in files:
        (place / name).write_text("")
    return Cgroup(place)


def test_version_2_takes_them_in_the_attempts_own_group(tmp_path: Path) -> None:
    group = unified(
        tmp_path / "base" / "runplane" / "ns" / "run.1",
        "memory.max", "memory.swap.max", "memory.oom.group", "pids.max", "cpu.max",
    )  # fmt: skip
    for parent in group.path.parents[:3]:
        (parent / "cgroup.subtree_control").write_text("")
    limits = LimitHierarchies({}, "ns").make("run.1", ALL, group)
    assert limits.enforced == {"memory", "pids", "cpu"}
    said = {
        name: (group.path / name).read_text()
        for name in ("memory.max", "memory.swap.max", "pids.max", "cpu.max")
    }
    assert said == {
        "memory.max": str(64 * 2**20), "memory.swap.max": "0", "pids.max": "20", "cpu.max": "150000 100000",
    }  # fmt: skip
    assert (tmp_path / "base" / "cgroup.subtree_control").read_text() == "+cpu"
    assert limits.places == dict.fromkeys(("memory", "pids", "cpu"), str(group.path))
    assert limits.joined == {}


def test_what_version_2_lacks_is_taken_from_version_1(tmp_path: Path) -> None:
    group = unified(tmp_path / "v2" / "run.1", "pids.max")
    memory = tmp_path / "v1" / "ns"
    (memory / "run.1").mkdir(parents=True)
    (memory / "run.1" / "memory.limit_in_bytes").write_text("")
    limits = LimitHierarchies({"memory": memory}, "ns").make("run.1", ALL, group)
    assert (set(limits.joined), limits.unified) == ({"memory"}, ("pids",))
    assert (memory / "run.1" / "memory.limit_in_bytes").read_text() == str(64 * 2**20)
    assert "cpu" not in limits.enforced, "nobody can: the agent says so"


def test_without_a_limit_nothing_is_made(tmp_path: Path) -> None:
    root = tmp_path / "ns"
    limits = LimitHierarchies({"memory": root, "pids": root, "cpu": root}, "ns").make("run.1", Bounds(), None)
    assert limits == LimitGroups()
    assert not root.exists()


def test_what_was_made_is_found_again(tmp_path: Path) -> None:
    limits = LimitGroups(joined={"memory": tmp_path / "m"}, group=tmp_path / "g", unified=("pids",))
    assert LimitGroups.of_json(limits.as_json(), tmp_path / "g") == limits
    assert LimitGroups.of_json(None, None) == LimitGroups(), "a record of an agent that knew of no limits"


@pytest.mark.parametrize(
    ("file", "content", "controller", "expected"),
    [
        ("memory.events", "low 0\nhigh 3\nmax 9\noom 1\noom_kill 1\n", "memory", ["memory"]),
        ("memory.events", "low 0\nhigh 3\nmax 9\noom 0\noom_kill 0\n", "memory", []),
        ("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n", "memory", ["memory"]),
        ("pids.events", "max 4\n", "pids", ["pids"]),
        ("pids.events", "max 0\n", "pids", []),
        ("pids.events", "max", "pids", []),
        ("other", "oom_kill 1", "memory", []),
    ],
)
def test_what_counts_as_reached(
    tmp_path: Path, file: str, content: str, controller: str, expected: list[str]
) -> None:
    (tmp_path / file).write_text(content)
    assert reached({controller: str(tmp_path)}) == expected
