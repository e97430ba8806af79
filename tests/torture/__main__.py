"""`make torture`: every part with its large counts, about 10 minutes; then the table in `docs/guarantees.md`.

The table is written also when something did not hold, and says so; the exit code is that of the tests.
"""

import os
import platform
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from tests.torture import table
from tests.torture.tally import VARIABLE

REPOSITORY = Path(__file__).parents[2]
PAGE = REPOSITORY / "docs" / "guarantees.md"
LIMIT_SECONDS = 30 * 60


def main(arguments: list[str]) -> int:
    """Run the parts (``arguments`` are pytest's, to choose among them: then no table is written)."""
    with tempfile.TemporaryDirectory() as place:
        results = Path(place) / "results.jsonl"
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-n",
            "2",
            "--dist",
            "worksteal",
            "-q",
            "tests/torture",
            *arguments,
        ]
        began = time.monotonic()
        code = subprocess.run(
            command,
            cwd=REPOSITORY,
            env={**os.environ, VARIABLE: str(results)},
            check=False,
            timeout=LIMIT_SECONDS,
        ).returncode
        took = time.monotonic() - began
        rows = table.read(results) if results.exists() else []
    note = (
        f"Counted by `make torture` on {datetime.now(UTC):%Y-%m-%d} in {took / 60:.0f} min: {os.cpu_count()} cores, "
        f"Linux {platform.release()}, Python {platform.python_version()}."
    )
    text = table.render(rows, note)
    if rows and not arguments:
        table.put(text, PAGE)
    print(text)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
