"""What a part printed: kept in one file, bounded, and its end shown when the part dies.

The part holds the file open for appending, so it cannot be renamed from under it: what is there is copied to
``NAME.log.1`` and the file is cut to nothing. A line written between the two is lost; these are diagnostics, and
nothing is ever decided from them.
"""

import os
from pathlib import Path

MAX_BYTES = 10 * 1024 * 1024


def bound(path: Path, max_bytes: int = MAX_BYTES) -> bool:
    """Set a file that has grown past ``max_bytes`` aside, its last ``max_bytes`` at most; whether it was."""
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return False
    if size <= max_bytes:
        return False
    with path.open("rb") as full:
        full.seek(size - max_bytes)
        kept = full.read(max_bytes)
    aside = path.with_name(f"{path.name}.1")
    aside.unlink(missing_ok=True)
    with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(kept)
    os.truncate(path, 0)
    return True


def open_to_append(path: Path) -> int:
    """A descriptor a part may write to; the caller closes it."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


def last_lines(path: Path, *, since: int = 0, lines: int = 8, max_bytes: int = 8192) -> list[str]:
    """The last lines written after the offset ``since``, control characters made visible."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            start = since if since <= size else 0
            file.seek(max(start, size - max_bytes))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return []
    return [_visible(line) for line in text.splitlines() if line.strip()][-lines:]


def _visible(line: str) -> str:
    return "".join(character if character.isprintable() or character == "\t" else "�" for character in line)
