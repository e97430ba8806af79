"""A directory that holds the SDK alone, for the PYTHONPATH of a Python that does not have Runplane installed.

It is made from the installed files, is named by their digest, and is never changed afterwards: runs of an older
version keep theirs. Standard library only.
"""

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

# Where Runplane is installed as well, `runplane.cli` and the rest are still found there.
_BESIDE_AN_INSTALLATION = """
import os
import sys

for _entry in sys.path:
    _other = os.path.join(_entry or os.curdir, "runplane")
    if _other not in __path__ and os.path.isfile(os.path.join(_other, "__init__.py")):
        __path__.append(_other)
"""


def sdk_path(home: Path | None = None) -> Path:
    """The directory to put on PYTHONPATH; made under ``home`` (default ``RUNPLANE_HOME``) if it is not there yet.

    Everyone may read what is made, but a home is its owner's alone: for runs of other users pass a ``home`` that
    they can enter. OSError if it cannot be made.
    """
    files = _files()
    digest = hashlib.sha256()
    for name, content in files.items():
        digest.update(name.encode() + b"\0" + content + b"\0")
    if home is None:
        home = Path(os.environ.get("RUNPLANE_HOME") or Path.home() / ".runplane")
    place = home.absolute() / "sdk" / digest.hexdigest()[:16]
    if not _holds(place, files):
        _make(place, files)
    return place


def _files() -> dict[str, bytes]:
    """Path in the directory → content."""
    package = Path(__file__).parent
    files = {
        f"runplane/sdk/{path.name}": path.read_bytes() for path in sorted((package / "sdk").glob("*.py"))
    }
    return {
        "runplane/__init__.py": (package / "__init__.py").read_bytes() + _BESIDE_AN_INSTALLATION.encode(),
        **files,
    }


def _holds(place: Path, files: dict[str, bytes]) -> bool:
    try:
        return all((place / name).read_bytes() == content for name, content in files.items())
    except OSError:
        return False


def _make(place: Path, files: dict[str, bytes]) -> None:
    """Build beside it and rename, so that nobody ever sees half of it; whoever comes second finds it made."""
    place.parent.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    place.parent.mkdir(mode=0o755, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=".making-", dir=place.parent))
    try:
        for name, content in files.items():
            path = building / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            path.chmod(0o644)
        for directory in (building, building / "runplane", building / "runplane" / "sdk"):
            directory.chmod(0o755)
        if place.exists() and not _holds(place, files):
            shutil.rmtree(place)
        building.rename(place)
    except OSError:
        if not _holds(place, files):
            raise
    finally:
        shutil.rmtree(building, ignore_errors=True)
