"""What this machine must have, and what is lost where it lacks something. Each check looks and changes nothing."""

import ctypes
import os
import re
import shutil
import stat
import sys
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from runplane.cli.attach_check import attach_check
from runplane.cli.broker import OLDEST, find_binary, version_of
from runplane.cli.findings import Finding, Verdict
from runplane.cli.home import Home
from runplane.cli.problem import Problem

OLDEST_PYTHON = (3, 11)
LEAST_DISK = 512 * 1024 * 1024
ENOUGH_DISK = 5 * 1024 * 1024 * 1024
ENOUGH_FILES = 4096
ATTACH_NEEDS_PRIVILEGE = 2
PR_GET_CHILD_SUBREAPER = 37
KILL_SINCE = (5, 14)
CLOCK_NOT_SYNCHRONISED = 5
ONE_DAY = 86_400.0


def examine(home: Home) -> list[Finding]:
    """Every check, in the order of the table."""
    checks: tuple[Callable[[], Finding], ...] = (
        _runplane, _python, _broker, lambda: _home(home), lambda: _secrets(home), lambda: _disk(home),
        _open_files, _pidfd, _subreaper, _cgroup, _limits, _ptrace, attach_check, _pressure, _clock,
    )  # fmt: skip
    return [check() for check in checks]


def _ok(name: str, found: str) -> Finding:
    return Finding(name=name, verdict=Verdict.OK, found=found)


def _warning(name: str, found: str, advice: str) -> Finding:
    return Finding(name=name, verdict=Verdict.WARNING, found=found, advice=advice)


def _failed(name: str, found: str, advice: str) -> Finding:
    return Finding(name=name, verdict=Verdict.FAILED, found=found, advice=advice)


def _runplane() -> Finding:
    try:
        return _ok("runplane", version("runplane"))
    except PackageNotFoundError:
        return _warning("runplane", "runs from its source tree", "install it with `make install`")


def _python() -> Finding:
    found = f"{sys.version.split(maxsplit=1)[0]} ({sys.executable})"
    if sys.version_info >= OLDEST_PYTHON:
        return _ok("python", found)
    return _failed("python", found, "Python 3.11 or newer is needed")


def _broker() -> Finding:
    try:
        binary = find_binary()
        found = version_of(binary)
    except Problem as error:
        return _failed("broker", error.message, error.hint)
    text = ".".join(map(str, found))
    if found < OLDEST:
        return _failed(
            "broker",
            text,
            f"nats-server {'.'.join(map(str, OLDEST))} or newer is needed: install Runplane again",
        )
    return _ok("broker", f"nats-server {text} ({binary})")


def _home(home: Home) -> Finding:
    nearest = next(path for path in (home.path, *home.path.parents) if path.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        return _failed(
            "home", f"{home.path} cannot be written", "choose another with --home or RUNPLANE_HOME"
        )
    if nearest != home.path:
        return _ok("home", f"{home.path} (made by the first `runplane up`)")
    details = home.path.stat()
    if details.st_uid != os.geteuid():
        return _failed("home", f"{home.path} belongs to uid {details.st_uid}", "use a home of your own")
    if stat.S_IMODE(details.st_mode) & 0o077:
        return _warning("home", f"{home.path} is open to others", f"close it: `chmod 700 {home.path}`")
    return _ok("home", str(home.path))


def _secrets(home: Home) -> Finding:
    files = (home.endpoint_file, home.token_file, home.nats / "nats.conf", home.nats / "credentials.json")
    loose = [str(file) for file in files if file.exists() and stat.S_IMODE(file.stat().st_mode) & 0o077]
    if loose:
        return _failed(
            "secrets", f"readable by others: {', '.join(loose)}", f"close them: `chmod 600 {' '.join(loose)}`"
        )
    return _ok("secrets", "readable by you alone")


def _disk(home: Home) -> Finding:
    nearest = next(path for path in (home.path, *home.path.parents) if path.exists())
    free = shutil.disk_usage(nearest).free
    found = f"{free / 1024**3:.1f} GiB free for {home.path}"
    if free < LEAST_DISK:
        return _failed(
            "disk", found, "make room, or choose a home on another disk: nothing is accepted when it is full"
        )
    if free < ENOUGH_DISK:
        return _warning("disk", found, "make room soon: runs are refused when the disk is full")
    return _ok("disk", found)


def _open_files() -> Finding:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    found = f"{soft} open files (hard limit {hard})"
    if soft < ENOUGH_FILES:
        return _warning(
            "open files", found, f"for many runs at once: `ulimit -n {min(max(hard, soft), 65_536)}`"
        )
    return _ok("open files", found)


def _pidfd() -> Finding:
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError) as error:
        return _failed(
            "pidfd",
            f"not available: {error}",
            "Linux 5.3 or newer is needed: processes are held by pidfd alone",
        )
    return _ok("pidfd", "available")


def _subreaper() -> Finding:
    answer = ctypes.c_int()
    if ctypes.CDLL(None).prctl(PR_GET_CHILD_SUBREAPER, ctypes.byref(answer), 0, 0, 0) != 0:
        return _failed(
            "subreaper", "not available", "Linux 3.4 or newer is needed: orphans of a run could not be found"
        )
    return _ok("subreaper", "available")


def _cgroup() -> Finding:
    writable = [group for group in _own_cgroups() if os.access(group, os.W_OK)]
    with_kill = [group for group in writable if (group / "cgroup.kill").exists() or _is_root(group)]
    if with_kill:
        return _ok("cgroup", f"version 2, writable, with cgroup.kill: {with_kill[0]}")
    frozen = [mount for mount, names in _hierarchies() if "freezer" in names and os.access(mount, os.W_OK)]
    if frozen:
        return _ok("cgroup", f"not usable; trees are held by the version 1 freezer instead: {frozen[0]}")
    lost = "without it a run's tree is swept by its session and its environment, which is slower"
    if writable:
        return _warning(
            "cgroup", f"version 2, writable, but without cgroup.kill (Linux 5.14): {writable[0]}", lost
        )
    return _warning("cgroup", "no writable group was found", f"{lost}. As a service: `Delegate=yes`")


def _limits() -> Finding:
    """Which controllers the kernel can enforce a workflow's limits by."""
    wanted = {"memory", "pids", "cpu"}
    handed_down = {
        name
        for group in _own_cgroups()
        if os.access(group / "cgroup.subtree_control", os.W_OK)
        for name in _words_of(group / "cgroup.controllers")
    }
    hierarchies = {name for mount, names in _hierarchies() if os.access(mount, os.W_OK) for name in names}
    found = wanted & (handed_down | hierarchies)
    if found == wanted:
        version_ = "2" if wanted <= handed_down else "1"
        return _ok(
            "limits", f"memory, processes and cores are enforced by the kernel (cgroup version {version_})"
        )
    lost = ", ".join(sorted(wanted - found))
    return _warning(
        "limits",
        f"the kernel does not enforce {lost} here",
        "the agent watches memory and processes twice a second instead, and cores are not limited. "
        "As a service: `Delegate=yes`",
    )


def _words_of(file: Path) -> list[str]:
    """The words of a small file; none where it cannot be read."""
    try:
        return file.read_text().split()
    except OSError:
        return []


def _hierarchies() -> list[tuple[Path, list[str]]]:
    """Where cgroup version 1 is mounted, and with which controllers."""
    try:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return []
    parted = [line.split(" - ", 1) for line in lines if " - cgroup " in line]
    return [(Path(left.split()[4]), right.split()[-1].split(",")) for left, right in parted]


def _own_cgroups() -> list[Path]:
    """This process's own group under every mounted cgroup v2 hierarchy, wherever it is mounted."""
    try:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
        own = next(
            line[3:] for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::")
        )
    except (OSError, StopIteration):
        return []
    mounts = [line.split()[4] for line in lines if " - cgroup2 " in line]
    groups = [Path(mount) / own.lstrip("/") for mount in mounts]
    return [group for group in groups if group.is_dir()]


def _is_root(group: Path) -> bool:
    """The root of a hierarchy, which has no files of its own for killing; groups made in it do, from Linux 5.14 on."""
    major, minor = os.uname().release.split(".")[:2]
    return (
        not (group / "cgroup.type").exists() and (int(major), int(re.sub(r"\D.*", "", minor))) >= KILL_SINCE
    )


def _ptrace() -> Finding:
    if not Path(sys.executable).with_name("py-spy").exists() and shutil.which("py-spy") is None:
        return _warning("ptrace", "no py-spy", "`runplane diagnose` cannot read stacks: pip install py-spy")
    try:
        scope = int(Path("/proc/sys/kernel/yama/ptrace_scope").read_text())
    except (OSError, ValueError):
        return _ok("ptrace", "not restricted")
    if scope >= ATTACH_NEEDS_PRIVILEGE and os.geteuid() != 0:
        return _warning(
            "ptrace",
            f"scope {scope}",
            "`runplane diagnose` cannot read stacks: sysctl kernel.yama.ptrace_scope=1",
        )
    return _ok("ptrace", f"scope {scope}")


def _pressure() -> Finding:
    try:
        Path("/proc/pressure/memory").read_text()
    except OSError as error:
        return _warning(
            "pressure",
            f"not available: {error.strerror}",
            "the machine's own stalls are not told from a run's",
        )
    return _ok("pressure", "available")


def _clock() -> Finding:
    now = time.time()
    newest = max(path.stat().st_mtime for path in Path(__file__).parent.glob("*.py"))
    found = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now))
    if now < newest - ONE_DAY:
        return _failed(
            "clock",
            f"{found}: before this program was installed",
            "set the clock; order comes from the log, times do not",
        )
    buffer = ctypes.create_string_buffer(512)  # struct timex, zeroed: only asks
    if ctypes.CDLL(None).adjtimex(buffer) == CLOCK_NOT_SYNCHRONISED:
        return _warning(
            "clock",
            f"{found}, not synchronised",
            "run a time service, such as chrony: shown times may be off",
        )
    return _ok("clock", f"{found}, synchronised")
