from pathlib import Path

import pytest

from control_plane.workflow_files import find, load
from runplane.contract.errors import InvalidInput

LINA = "name: lina\ncommand: [python, lina.py]\n"


def write(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_files_are_found_here_and_one_level_below(tmp_path: Path) -> None:
    for name in (
        "b.yaml",
        "a.yml",
        "notes.txt",
        "deep/workflow.yaml",
        "deep/other.yaml",
        "deep/er/workflow.yaml",
    ):
        write(tmp_path / name, LINA)

    assert [str(path.relative_to(tmp_path)) for path in find(tmp_path)] == [
        "a.yml",
        "b.yaml",
        "deep/workflow.yaml",
    ]
    assert find(tmp_path / "nowhere") == []


@pytest.mark.parametrize(
    ("workspace", "expected"),
    [
        ("", "{here}"),
        ("workspace: .\n", "{here}"),
        ("workspace: sub\n", "{here}/sub"),
        ("workspace: ../other\n", "{parent}/other"),
        ("workspace: /srv/lina\n", "/srv/lina"),
        ("workspace: temporary\n", "temporary"),
        ("workspace: kept\n", "kept"),
    ],
)
def test_a_workspace_is_told_from_the_file(tmp_path: Path, workspace: str, expected: str) -> None:
    here = tmp_path / "flows"
    definition = load(write(here / "lina.yaml", LINA + workspace))

    assert definition is not None
    assert definition.workspace == expected.format(here=here, parent=tmp_path)


@pytest.mark.parametrize("text", ["", "just text", "- a\n- b\n", "name: only\n", "services: {}\n"])
def test_yaml_of_another_kind_is_passed_over(tmp_path: Path, text: str) -> None:
    assert load(write(tmp_path / "compose.yaml", text)) is None


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (LINA + "timeout: soon\n", ("timeout='soon'", "30s")),
        (LINA + "timout: 30s\n", ("timout",)),
        (LINA + "kill: {signal: SIGNOPE}\n", ("kill.signal='SIGNOPE'", "SIGTERM")),
        ("name: Bad Name\ncommand: [x]\n", ("name='Bad Name'",)),
        ("name: lina\ncommand: python lina.py\n", ("command='python lina.py'",)),
        (LINA + "env: {TOKEN: 12345}\n", ("env.TOKEN",)),
        ("name: [unclosed\n", ("not YAML", "line")),
        (b"\xff\xfe\x00\x00", ("not YAML",)),
        ("a" * (1024 * 1024 + 1), ("1048576",)),
    ],
)
def test_what_is_wrong_is_named_by_field_and_value(
    tmp_path: Path, text: str | bytes, parts: tuple[str, ...]
) -> None:
    with pytest.raises(InvalidInput) as caught:
        load(write(tmp_path / "lina.yaml", text))

    for part in parts:
        assert part in caught.value.message
    assert "12345" not in caught.value.message
