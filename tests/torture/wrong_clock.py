"""A wall clock that lies to one program: its calls for the time of day are answered with an offset, which may change.

A few lines of C stand before the C library's own (``LD_PRELOAD``). The other clocks stay true, as they do on a machine
whose time of day somebody sets. The offset lies in a file that the program maps, in whole seconds.
"""

import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

DAY = 86_400
_SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long offset(void) {
    static volatile long *mapped;
    if (!mapped) {
        const char *name = getenv("WRONG_CLOCK");
        int fd = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
        void *place = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(long), PROT_READ, MAP_SHARED, fd, 0);
        if (fd >= 0) close(fd);
        if (place == MAP_FAILED) return 0;
        mapped = place;
    }
    return *mapped;
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, time);
    if (result == 0 && clock == CLOCK_REALTIME) time->tv_sec += offset();
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    (void)zone;
    struct timespec time;
    int result = clock_gettime(CLOCK_REALTIME, &time);
    now->tv_sec = time.tv_sec;
    now->tv_usec = time.tv_nsec / 1000;
    return result;
}

time_t time(time_t *stored) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (stored) *stored = now.tv_sec;
    return now.tv_sec;
}
"""


class WrongClock:
    """``environment`` makes a program see it."""

    def __init__(self, place: Path, seconds: int) -> None:
        self._file = place / "offset"
        self.set(seconds)
        self.environment = {"WRONG_CLOCK": str(self._file), "LD_PRELOAD": str(_library(place))}

    def set(self, seconds: int) -> None:
        """By how much it is wrong from now on, for programs that run already, too."""
        descriptor = os.open(self._file, os.O_WRONLY | os.O_CREAT, 0o600)
        os.pwrite(descriptor, struct.pack("l", seconds), 0)
        os.close(descriptor)


def _library(place: Path) -> Path:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler to make a clock that lies")
    source, library = place / "wrong_clock.c", place / "wrong_clock.so"
    source.write_text(_SOURCE)
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    return library
