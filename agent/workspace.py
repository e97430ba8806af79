"""Where an attempt's files lie, and the directory it works in. Called by the keeper.

``temporary``: made for the attempt, removed after it; ``kept``: made for the attempt and left; anything else is a path.
"""

import shutil
from pathlib import Path

from runplane.contract.run import Cleanup

TEMPORARY = "temporary"
KEPT = "kept"


def attempt_directory(runs: Path, run_id: str, attempt: int) -> Path:
    """``<runs>/<run_id>/<attempt>``: the run directory of one attempt."""
    return runs / run_id / str(attempt)


def working_directory(workspace: str, directory: Path) -> str:
    """The working directory of the attempt, whether it was made yet or not."""
    if workspace not in (TEMPORARY, KEPT):
        return workspace
    return str(directory.with_name(f"{directory.name}.workspace"))


def prepare(workspace: str, directory: Path) -> str:
    """The working directory of the attempt, made where it is a fresh one."""
    place = working_directory(workspace, directory)
    if workspace in (TEMPORARY, KEPT):
        Path(place).mkdir(mode=0o700, parents=True, exist_ok=True)
    return place


def clean(workspace: str, directory: Path) -> Cleanup:
    """Remove a temporary workspace after the tree is gone; say what was removed, in bytes."""
    if workspace not in (TEMPORARY, KEPT):
        return Cleanup()
    place = directory.with_name(f"{directory.name}.workspace")
    if workspace == KEPT:
        return Cleanup(workspace=f"kept: {place}")
    size = sum(file.lstat().st_size for file in place.rglob("*") if not file.is_dir())
    shutil.rmtree(place, ignore_errors=True)
    return Cleanup(workspace=f"removed: {place}", temp_bytes_removed=size)
