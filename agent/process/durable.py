"""Small files that are either wholly there or not at all, also after a power cut.

Every write is: a new file, fsync, a name put on it atomically, fsync of the directory. What nobody needs after a power
cut is written the same way without the fsyncs. Standard library alone, because the shims use it.
"""

import contextlib
import os

_FRESH = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW


def replace_file(directory: int, name: str, content: bytes, *, sync: bool = True) -> None:
    """Put ``content`` under ``name``, in place of what is there. ``directory`` is an open descriptor.

    ``sync=False`` for what nobody needs after a power cut: readers see the old or the new, and nothing is waited for.
    """
    fresh = _write_fresh(directory, name, content, sync=sync)
    os.rename(fresh, name, src_dir_fd=directory, dst_dir_fd=directory)
    if sync:
        os.fsync(directory)


def create_file(directory: int, name: str, content: bytes) -> bool:
    """Put ``content`` under ``name`` unless the name is taken: of any number of writers exactly one gets True."""
    fresh = _write_fresh(directory, name, content)
    try:
        os.link(fresh, name, src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=False)
    except FileExistsError:
        return False
    finally:
        with contextlib.suppress(OSError):
            os.unlink(fresh, dir_fd=directory)
    os.fsync(directory)
    return True


def reserve(directory: int, name: str, size: int) -> None:
    """Set room aside for a file that must be written later even if the disk is full by then."""
    descriptor = os.open(name, _FRESH, 0o600, dir_fd=directory)
    try:
        os.posix_fallocate(descriptor, 0, size)
    finally:
        os.close(descriptor)


def use_reserve(directory: int, reserved: str, name: str, content: bytes) -> None:
    """Write into the reserved file and put it under ``name``; needs no new room on the disk."""
    descriptor = os.open(
        reserved, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600, dir_fd=directory
    )
    try:
        _write_all(descriptor, content)
        os.ftruncate(descriptor, len(content))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.rename(reserved, name, src_dir_fd=directory, dst_dir_fd=directory)
    os.fsync(directory)


def _write_fresh(directory: int, name: str, content: bytes, *, sync: bool = True) -> str:
    fresh = f".{name}.{os.urandom(6).hex()}"
    descriptor = os.open(fresh, _FRESH, 0o600, dir_fd=directory)
    try:
        _write_all(descriptor, content)
        if sync:
            os.fsync(descriptor)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(fresh, dir_fd=directory)
        raise
    finally:
        os.close(descriptor)
    return fresh


def _write_all(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]
