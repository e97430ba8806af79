"""System calls in which a thread can wait, by number, on the machines that Runplane runs on."""

import platform

_X86_64 = {
    "read": 0, "write": 1, "open": 2, "poll": 7, "pread64": 17, "pwrite64": 18, "readv": 19, "writev": 20, "select":
    23, "pause": 34, "nanosleep": 35, "connect": 42, "accept": 43, "sendto": 44, "recvfrom": 45, "sendmsg": 46,
    "recvmsg": 47, "wait4": 61, "msgrcv": 70, "semop": 65, "fcntl": 72, "flock": 73, "fsync": 74, "rt_sigtimedwait":
    128, "rt_sigsuspend": 130, "futex": 202, "restart_syscall": 219, "semtimedop": 220, "clock_nanosleep": 230,
    "epoll_wait": 232, "waitid": 247, "openat": 257, "pselect6": 270, "ppoll": 271, "epoll_pwait": 281, "accept4":
    288, "io_uring_enter": 426, "epoll_pwait2": 441,
}  # fmt: skip
_ARM64 = {
    "epoll_pwait": 22, "fcntl": 25, "flock": 32, "openat": 56, "read": 63, "write": 64, "readv": 65, "writev": 66,
    "pread64": 67, "pwrite64": 68, "pselect6": 72, "ppoll": 73, "fsync": 82, "waitid": 95, "futex": 98, "nanosleep":
    101, "clock_nanosleep": 115, "restart_syscall": 128, "rt_sigsuspend": 133, "rt_sigtimedwait": 137, "msgrcv":
    188, "semtimedop": 192, "semop": 193, "accept": 202, "connect": 203, "sendto": 206, "recvfrom": 207, "sendmsg":
    211, "recvmsg": 212, "accept4": 242, "wait4": 260, "io_uring_enter": 426, "epoll_pwait2": 441,
}  # fmt: skip
_BY_MACHINE = {"x86_64": _X86_64, "aarch64": _ARM64}

NAMES = {number: name for name, number in _BY_MACHINE.get(platform.machine(), {}).items()}
"""Empty on another machine: there the kernel's own names of waiting places have to do."""
