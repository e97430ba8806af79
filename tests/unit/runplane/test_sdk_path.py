import ast
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from runplane.sdk_path import sdk_path
from tests.run_directory import RunDirectory

_PROGRAM = """
import runplane
with runplane.step("plan", goal="x") as plan:
    plan.result = 1
@runplane.step
async def later():
    return 2
import asyncio
asyncio.run(later())
runplane.progress(1, 2)
runplane.checkpoint({"a": 1})
print(runplane.__file__)
"""


def test_it_holds_the_sdk_alone(tmp_path: Path) -> None:
    place = sdk_path(tmp_path)

    assert [path.name for path in place.iterdir()] == ["runplane"]
    assert sorted(path.name for path in (place / "runplane").iterdir()) == ["__init__.py", "sdk"]


def test_it_is_made_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        places = {future.result() for future in [pool.submit(sdk_path, tmp_path) for _ in range(16)]}
    (place,) = places
    before = (place / "runplane" / "__init__.py").stat()

    assert sdk_path(tmp_path) == place
    assert (place / "runplane" / "__init__.py").stat().st_ino == before.st_ino
    assert list((tmp_path / "sdk").iterdir()) == [place]


def test_a_damaged_one_is_made_anew(tmp_path: Path) -> None:
    place = sdk_path(tmp_path)
    (place / "runplane" / "sdk" / "line.py").write_text("")

    assert sdk_path(tmp_path) == place
    assert (place / "runplane" / "sdk" / "line.py").stat().st_size > 0
    assert list((tmp_path / "sdk").iterdir()) == [place]


def test_by_default_it_lies_in_the_home(home: Path) -> None:
    assert sdk_path().parent == home / "sdk"


def test_its_grammar_is_that_of_python_3_8(tmp_path: Path) -> None:
    for path in sdk_path(tmp_path).rglob("*.py"):
        ast.parse(path.read_text(), feature_version=(3, 8))


def _pythons() -> list[str]:
    """This interpreter, and every other that starts here."""
    names = [f"python3.{minor}" for minor in range(8, 20)]
    found = [sys.executable, *filter(None, map(shutil.which, names))]
    return [
        python
        for python in dict.fromkeys(found)
        if subprocess.run([python, "-S", "-c", ""], capture_output=True, timeout=60, check=False).returncode
        == 0
    ]


def test_a_python_without_runplane_uses_it(tmp_path: Path) -> None:
    for number, python in enumerate(_pythons()):
        run_dir = RunDirectory(tmp_path / str(number))
        environment = run_dir.environment(PYTHONPATH=str(sdk_path(tmp_path)), PYTHONDONTWRITEBYTECODE="1")

        done = subprocess.run(
            [python, "-S", "-c", _PROGRAM],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            cwd=os.path.sep,
        )

        assert (done.returncode, done.stderr) == (0, ""), python
        assert done.stdout.startswith(str(tmp_path))
        states = [report.get("state") for report in run_dir.reports()]
        assert states == ["started", "completed", "started", "completed", None, None]


def test_an_installation_is_still_found_behind_it(tmp_path: Path) -> None:
    installed = Path(__file__).parents[3]
    run_dir = RunDirectory(tmp_path / "run")
    environment = run_dir.environment(PYTHONPATH=f"{sdk_path(tmp_path)}{os.pathsep}{installed}")
    subprocess.run(
        [sys.executable, "-m", "runplane.emit", "progress", "1"],
        env=environment,
        timeout=60,
        check=True,
        cwd=os.path.sep,
    )
    assert run_dir.of("progress") == [{"done": 1}]
