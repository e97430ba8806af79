"""Lines where a program can be held."""

from pathlib import Path

import pytest

from agent.debug.source import place_of, shown_name, source_around
from runplane.contract.errors import InvalidInput


@pytest.fixture
def program(tmp_path: Path) -> Path:
    file = tmp_path / "a.py"
    file.write_text('"""About."""\n\n\ndef f():\n    # nothing\n    return 1\n\n\nx = (\n    f()\n)\n')
    return file


def test_a_line_with_code_is_found_from_the_workspace_and_by_its_path(program: Path) -> None:
    assert place_of("a.py:6", str(program.parent)) == (program.resolve(), 6)
    assert place_of(f"{program}:4", "/") == (program.resolve(), 4)


@pytest.mark.parametrize(
    ("location", "code", "said"),
    [
        ("a.py:5", "line_without_code", "a.py:6"),
        ("a.py:99", "line_without_code", "a.py:10"),
        ("b.py:1", "file_not_found", "b.py"),
        ("../nowhere/a.py:1", "file_not_found", "workspace"),
    ],
)
def test_another_is_refused_with_the_nearest(program: Path, location: str, code: str, said: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        place_of(location, str(program.parent))
    assert (refused.value.error_code, said in refused.value.message) == (code, True)


def test_what_does_not_compile_here_is_left_to_the_program(program: Path) -> None:
    program.write_text("print 'an older Python'\n")
    assert place_of("a.py:7", str(program.parent))[1] == 7


def test_the_lines_around_one_are_shown(program: Path) -> None:
    assert [line.number for line in source_around(str(program), 2)] == [1, 2, 3, 4, 5, 6, 7]
    assert source_around("/no/such/file", 1) == ()
    assert shown_name(str(program.resolve()), str(program.parent)) == "a.py"
    assert shown_name("/usr/lib/x.py", str(program.parent)) == "/usr/lib/x.py"
