"""The command that runs a Python program under the debugger, and what is no such program."""

import sys
from pathlib import Path

import pytest

from agent.debug.program import INSIDE, debugged, debugger_packages

RUN = Path("/runs/1")


@pytest.mark.parametrize(
    ("argv", "options", "target"),
    [
        (("python", "a.py", "x"), [], ["a.py", "x"]),
        (("/usr/bin/python3.11", "-u", "-X", "dev", "a.py", "-c"), ["-u", "-X", "dev"], ["a.py", "-c"]),
        (("python3", "-m", "tool", "--x"), [], ["-m", "tool", "--x"]),
        (("python3", "-Wignore", "-c", "print(1)", "a"), ["-Wignore"], ["-c", "print(1)", "a"]),
        (("python3", "-Im", "tool"), ["-I"], ["-m", "tool"]),
    ],
)
def test_the_same_is_run_inside(argv: tuple[str, ...], options: list[str], target: list[str]) -> None:
    packages = str(debugger_packages())
    assert debugged(argv, RUN, "/") == (argv[0], *options, str(INSIDE), str(RUN), packages, *target)


@pytest.mark.parametrize(
    "argv", [("sh", "-c", "true"), ("python",), ("python", "-"), ("/no/such/file",), ("node", "a.js")]
)
def test_what_is_no_python_program_runs_as_it_is(argv: tuple[str, ...]) -> None:
    assert debugged(argv, RUN, "/") is None


@pytest.mark.parametrize(
    "first", [f"#!{sys.executable} -u", "#!/usr/bin/env python3", "#!/usr/bin/env -S python3 -u"]
)
def test_a_script_is_run_by_the_interpreter_that_it_names(first: str, tmp_path: Path) -> None:
    (tmp_path / "tool").write_text(f"{first}\nprint(1)\n")
    found = debugged(("./tool", "a"), RUN, str(tmp_path))
    assert found is not None
    assert "python" in found[0]
    assert found[-2:] == (f"{tmp_path}/./tool", "a")
    assert ("-u" in found) is ("-u" in first)
