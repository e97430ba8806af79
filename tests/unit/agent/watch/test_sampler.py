"""The sampler sees what a real process uses."""

import os
import socket
import subprocess
import sys
import time

import pytest

from agent.watch.sampler import TreeSampler


def test_a_busy_process_uses_about_a_core_and_an_ended_one_nothing() -> None:
    program = "b = bytearray(64 * 2**20)\nprint('up', flush=True)\nwhile True: pass"
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        process.stdout.readline()
        sampler = TreeSampler()
        first = sampler.sample([process.pid])
        assert first is not None
        assert first.resources.cpu_percent == 0
        deadline = time.monotonic() + 10
        sample = None
        while time.monotonic() < deadline and (sample is None or sample.resources.cpu_percent < 5):
            sample = sampler.sample([process.pid])
        assert sample is not None
        assert sample.resources.cpu_percent >= 5
        assert sample.resources.rss_bytes > 64 * 2**20
        assert (sample.resources.processes, sample.resources.threads) == (1, 1)
        assert sample.resources.open_files >= 3
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    assert TreeSampler().sample([process.pid]) is None


def test_this_process_has_threads_and_files() -> None:
    sample = TreeSampler().sample([os.getpid(), 2**22 - 1])
    assert sample is not None
    assert sample.resources.processes == 2
    assert sample.resources.threads >= 1


def test_memory_in_proportion_and_sockets_are_counted_and_read_seldom(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sampler = TreeSampler()
    with socket.socket() as one:
        first = sampler.sample([os.getpid()])
        with socket.socket():
            second = sampler.sample([os.getpid()])
            assert first is not None
            assert second is not None
            assert first.resources.sockets is not None
            assert first.resources.pss_bytes is not None
            assert 0 < first.resources.pss_bytes <= first.resources.rss_bytes * 1.2
            assert (second.resources.sockets, second.resources.pss_bytes) == (
                first.resources.sockets,
                first.resources.pss_bytes,
            )
            monkeypatch.setattr("agent.watch.sampler.SELDOM_SECONDS", 0.0)
            third = sampler.sample([os.getpid()])
            assert third is not None
            assert third.resources.sockets == first.resources.sockets + 1
        assert one.fileno() >= 0
