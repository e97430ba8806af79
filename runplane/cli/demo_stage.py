"""Where the demo plays: the system that runs already, or one of its own that goes when the demo is over.

A system of its own has a temporary home, or ``RUNPLANE_HOME`` where that is set. The examples lie beside the packages
in a source checkout (an editable install), or inside the package where a wheel brought them along.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree

from runplane.cli.home import Home, find_home
from runplane.cli.lock import holder
from runplane.cli.problem import Problem
from runplane.cli.program import python_module
from runplane.cli.readiness import ask_until, system_is_ready
from runplane.client import Place, find_plane

READY_WITHIN = 90.0
DOWN_WITHIN = 180.0
LAST_WORDS = 2000
WORKFLOW_FILE = Path("lina", "workflow.yaml")


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A running system. ``is_own``: the demo started it. ``home`` is None where it runs on another machine."""

    place: Place
    home: Home | None
    is_own: bool

    def environment(self) -> dict[str, str]:
        """The variables that lead another program here."""
        home = {"RUNPLANE_HOME": str(self.home.path)} if self.home is not None else {}
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("RUNPLANE_")}
        return inherited | home | {"RUNPLANE_URL": self.place.url, "RUNPLANE_TOKEN": self.place.token}


def examples_directory() -> Path:
    """The directory of the examples; a ``Problem`` where this installation has none."""
    package = Path(__file__).resolve().parent.parent
    for candidate in (package / "examples", package.parent / "examples"):
        if (candidate / WORKFLOW_FILE).is_file():
            return candidate
    raise Problem(
        f"the demo's workflows are not part of this installation: looked for {package.parent / 'examples'}",
        hint="run it from a source checkout: `make demo`",
    )


@contextmanager
def stage(*, port: int, keep: bool) -> Iterator[Stage]:
    """The system to play on. One of its own is stopped afterwards with its runs, unless ``keep``."""
    if os.environ.get("RUNPLANE_URL"):
        yield Stage(place=find_plane(), home=None, is_own=False)
        return
    home = find_home()
    if holder(home) is not None and home.read_endpoint() is not None:
        yield Stage(place=find_plane(home.path), home=home, is_own=False)
        return
    is_temporary = "RUNPLANE_HOME" not in os.environ
    if is_temporary:
        home = Home(path=Path(tempfile.mkdtemp(prefix="runplane-demo-")))
    up = _start(home, port)
    is_over = False
    try:
        _until_ready(home, up)
        yield Stage(place=find_plane(home.path), home=home, is_own=True)
        is_over = True
    finally:
        if not (keep and is_over):
            _stop(home, up)
            if is_temporary:
                rmtree(home.path, ignore_errors=True)


def _start(home: Home, port: int) -> "subprocess.Popen[bytes]":
    home.create()
    argv = [
        *python_module("runplane.cli"), "up", "--port", str(port), "--home", str(home.path),
        "--workflows", str(examples_directory()), "--json",
    ]  # fmt: skip
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RUNPLANE_")}
    with _log(home).open("ab") as log:
        # A session of its own: Ctrl-C ends the demo, and the demo then ends the system in order.
        return subprocess.Popen(
            argv, env=inherited, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )


def _until_ready(home: Home, up: "subprocess.Popen[bytes]") -> None:
    def is_ready() -> bool:
        endpoint = home.read_endpoint()
        return up.poll() is not None or (endpoint is not None and system_is_ready(endpoint))

    if ask_until(is_ready, READY_WITHIN) and up.poll() is None:
        return
    said = _log(home).read_text(errors="replace")[-LAST_WORDS:].strip()
    how = "ended at once" if up.poll() is not None else f"was not ready within {READY_WITHIN:g} s"
    raise Problem(f"the demo's system {how}. Its last words:\n{said}", hint="look at `runplane doctor`")


def _stop(home: Home, up: "subprocess.Popen[bytes]") -> None:
    argv = [*python_module("runplane.cli"), "down", "--kill-runs", "--home", str(home.path)]
    if up.poll() is None and home.read_endpoint() is not None:
        done = subprocess.run(argv, capture_output=True, timeout=DOWN_WITHIN, check=False)
        if done.returncode != 0:
            sys.stderr.write(done.stderr.decode(errors="replace"))
    if up.poll() is None:
        up.terminate()
    try:
        up.wait(DOWN_WITHIN)
    except subprocess.TimeoutExpired:
        up.kill()  # its parts go with it
        up.wait()


def _log(home: Home) -> Path:
    return home.logs / "up.log"
