"""How much work waits for what, as the kernel says it."""

from pathlib import Path

from agent.outbox.heartbeat import pressure
from runplane.contract.telemetry import Pressure


def test_it_is_read_from_the_kernel(tmp_path: Path) -> None:
    for what, some, full in (("cpu", 84.5, 0.0), ("memory", 1.0, 0.5), ("io", 2.25, 2.0)):
        (tmp_path / what).write_text(
            f"some avg10={some} avg60=1.0 avg300=1.0 total=1\nfull avg10={full} avg60=1.0 avg300=1.0 total=1\n"
        )
    assert pressure(tmp_path) == Pressure(
        cpu_some=84.5, memory_some=1.0, memory_full=0.5, io_some=2.25, io_full=2.0
    )


def test_a_kernel_that_does_not_say_is_no_fault(tmp_path: Path) -> None:
    assert pressure(tmp_path) is None
