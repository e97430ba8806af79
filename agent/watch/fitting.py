"""Cuts a diagnosis to a size that the log can bear, and says so. Pure.

What is told least of all goes first: open files, inner calls, more threads, more processes. The sentence always stays.
"""

from collections.abc import Callable

from runplane.contract.diagnosis import Diagnosis, SeenProcess

MOST_BYTES = 60 << 10


def fitted(diagnosis: Diagnosis, most_bytes: int = MOST_BYTES) -> Diagnosis:
    """The diagnosis, or a shorter one of it."""
    for left_out, shorten in _WAYS:
        if len(diagnosis.model_dump_json()) <= most_bytes:
            break
        shorter = shorten(diagnosis)
        if shorter != diagnosis:
            unseen = (*diagnosis.unseen[:20], f"left out, to keep this short: {left_out}")
            diagnosis = shorter.model_copy(update={"unseen": unseen})
    return diagnosis


def _of_each(change: Callable[[SeenProcess], SeenProcess]) -> Callable[[Diagnosis], Diagnosis]:
    return lambda diagnosis: diagnosis.model_copy(
        update={"processes": tuple(change(process) for process in diagnosis.processes)}
    )


def _shorter_stacks(process: SeenProcess, *, threads: int, frames: int) -> SeenProcess:
    kept = [
        thread.model_copy(update={"stack": thread.stack[:frames]}) for thread in process.threads[:threads]
    ]
    return process.model_copy(update={"threads": tuple(kept)})


def _processes(most: int) -> Callable[[Diagnosis], Diagnosis]:
    return lambda diagnosis: diagnosis.model_copy(update={"processes": diagnosis.processes[:most]})


def _lines(most: int) -> Callable[[Diagnosis], Diagnosis]:
    return lambda diagnosis: diagnosis.model_copy(
        update={"stdout": diagnosis.stdout[-most:], "stderr": diagnosis.stderr[-most:]}
    )


_WAYS: tuple[tuple[str, Callable[[Diagnosis], Diagnosis]], ...] = (
    ("open files beyond the first 6 of each process",
     _of_each(lambda process: process.model_copy(update={"files": process.files[:6]}))),
    ("output before the last 15 lines", _lines(15)),
    ("threads beyond the first 6 of each process, and calls beyond the innermost 12",
     _of_each(lambda process: _shorter_stacks(process, threads=6, frames=12))),
    ("processes beyond the first 24", _processes(24)),
    ("threads beyond the first 2 of each process, and calls beyond the innermost 6",
     _of_each(lambda process: _shorter_stacks(process, threads=2, frames=6))),
    ("processes beyond the first 8", _processes(8)),
    ("sockets beyond the first 4 of each process",
     _of_each(lambda process: process.model_copy(update={"sockets": process.sockets[:4], "files": ()}))),
    ("all processes but the first", _processes(1)),
    ("the evidence of the condition",
     lambda diagnosis: diagnosis.model_copy(update={
         "condition": diagnosis.condition and diagnosis.condition.model_copy(update={"evidence": None})})),
    ("all output but the last line", _lines(1)),
    ("all processes", _processes(0)),
)  # fmt: skip
