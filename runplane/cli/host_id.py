"""Under which id this machine joins. It is kept in the home: its runs are found again under the same id."""

import re
import socket

from runplane.cli.home import Home, write_private
from runplane.cli.problem import Exit, Problem
from runplane.contract.ids import HOST_ID_PATTERN, is_host_id

LONGEST = 63


def choose_host_id(home: Home, asked: str = "") -> str:
    """As asked, else as before, else after the machine's name; a ``Problem`` where what was asked is no host id."""
    if asked and not is_host_id(asked):
        raise Problem(
            f"--host-id {asked!r} is no host id",
            hint=f"lower-case letters, digits and inner hyphens, at most {LONGEST}: {HOST_ID_PATTERN}",
            exit_code=Exit.USAGE,
            code="usage",
        )
    kept = home.host_id_file.read_text().strip() if home.host_id_file.exists() else ""
    chosen = asked or (kept if is_host_id(kept) else host_id_after(socket.gethostname()))
    if chosen != kept:
        write_private(home.host_id_file, f"{chosen}\n")
    return chosen


def host_id_after(name: str) -> str:
    """A host id made of a machine's name, without its domain."""
    first = name.split(".", maxsplit=1)[0].lower()
    return re.sub(r"[^a-z0-9]+", "-", first).strip("-")[:LONGEST].strip("-") or "localhost"
