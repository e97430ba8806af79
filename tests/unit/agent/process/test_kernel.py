import os
import re
import subprocess
import sys
from pathlib import Path

from agent.process import kernel


def test_this_process() -> None:
    stat = kernel.read_stat(os.getpid())
    assert stat is not None
    assert (stat.pid, stat.ppid, stat.session, stat.state) == (os.getpid(), os.getppid(), os.getsid(0), "R")
    assert stat.start_time > 0
    assert stat.rss_pages > 0
    assert stat.arg_end > stat.arg_start > 0


def test_a_name_with_parentheses_and_spaces() -> None:
    program = "open('/proc/self/comm','w').write('a) R 1 (b'); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-S", "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        stat = kernel.read_stat(child.pid)
        assert stat is not None
        assert (stat.name, stat.pid, stat.ppid) == ("a) R 1 (b", child.pid, os.getpid())
        child.communicate(b"\n")


def test_nobody_has_this_pid() -> None:
    assert kernel.read_stat(kernel.pid_limit() + 1) is None


def test_a_read_is_bounded_and_goes_on_to_the_end(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * 10_000)
    assert len(kernel.read_head(str(file))) == 4096
    assert len(kernel.read_head(str(file), 20_000)) == 10_000
    assert kernel.read_head(str(tmp_path / "none")) == b""
    assert kernel.read_head(str(tmp_path)) == b""


def test_the_fork_count_rises() -> None:
    before = kernel.fork_count()
    subprocess.run(["true"], check=True)
    assert kernel.fork_count() > before


def test_names_and_moments() -> None:
    assert kernel.signal_name(15) == "SIGTERM"
    assert kernel.signal_name(40) == "SIG40"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", kernel.iso_now())
    assert re.fullmatch(r"[0-9a-f-]{36}", kernel.boot_id())
