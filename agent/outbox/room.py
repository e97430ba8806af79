"""Room on the disk behind the end of a file, kept for what must be written there when the disk is full.

Nothing of it is seen: the file is as long as before, and what is appended takes the room. No other program can take it
meanwhile, as one that fills the disk would.
"""

import ctypes
import errno
import os

_KEEP_SIZE = 1
_CANNOT = frozenset({errno.EOPNOTSUPP, errno.ENOSYS})
_LIBC = ctypes.CDLL(None, use_errno=True)


def keep_room(fd: int, offset: int, size: int) -> None:
    """Have ``size`` bytes from ``offset`` on set aside. OSError when the disk has not so much.

    A file system that cannot do this keeps nothing, and nothing is said.
    """
    while _LIBC.fallocate(fd, _KEEP_SIZE, ctypes.c_int64(offset), ctypes.c_int64(size)) != 0:
        number = ctypes.get_errno()
        if number in _CANNOT:
            return
        if number != errno.EINTR:
            raise OSError(number, os.strerror(number))
