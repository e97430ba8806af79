"""Ending runs and waiting for the proof: shared by ``kill``, ``restart`` and ``force-complete``."""

from contextlib import suppress

from runplane.cli.duration import show_duration
from runplane.cli.problem import Problem
from runplane.cli.run_words import runtime_of
from runplane.cli.size import count
from runplane.cli.terminal import console, one_line, say
from runplane.cli.waiting import has_ended, wait_until
from runplane.client import Client
from runplane.contract.errors import RunplaneError
from runplane.contract.run import Run, Status

FIRST_WAIT = 2.0
BEYOND_GRACE = 60.0
USUAL_GRACE = 10.0
_TOLD = frozenset({"survivors", "leftovers"})


async def until_ended(client: Client, run: Run, *, timeout: float | None, is_quiet: bool) -> Run:
    """The ended run. While its tree will not die, the pids and the reasons are told on standard error.

    Without ``timeout`` it is waited for the grace and a minute more. A ``Problem`` says what is left after that.
    """
    if run.status.ended:
        return run
    limit = timeout if timeout is not None else await _grace_of(client, run) + BEYOND_GRACE
    teller = _Teller(is_quiet=is_quiet)
    teller.changed(run)
    ended = await wait_until(client, run, has_ended, limit=limit, on_change=teller.changed)
    if not ended.status.ended:
        raise not_ended(ended, limit)
    return ended


def not_ended(run: Run, limit: float) -> Problem:
    """The error of a run that did not end in time."""
    waited = show_duration(limit)
    if run.status is Status.UNREACHABLE:
        return Problem(
            f"{run.run_id} is not confirmed dead: its host {run.host} was not heard from for the {waited} waited",
            hint=f"the order stands and is carried out when {run.host} returns; see `runplane hosts`, or declare the "
            f"outcome with `runplane force-complete {run.run_id}`",
            code="not_confirmed",
        )
    left = "; ".join(one_line(condition.detail) for condition in run.conditions if condition.type in _TOLD)
    return Problem(
        f"{run.run_id} is still {run.status} after {waited}" + (f": {left}" if left else ""),
        hint=f"the order stands; look again with `runplane status {run.run_id}`"
        + ("" if left else f", or cut the grace short with `runplane kill {run.run_id} --force`"),
        code="not_confirmed",
    )


def ending_summary(run: Run) -> str:
    """One line of proof."""
    receipt = run.kill_receipt
    if receipt is None:
        return f"{run.run_id} {run.status} after {show_duration(runtime_of(run))}"
    gone = count(len(receipt.processes), "process", "processes")
    ways = ", ".join(receipt.verified_by)
    return f"{run.run_id} {run.status} in {show_duration(receipt.duration_ms / 1000)}: {gone} gone, shown by {ways}"


class _Teller:
    """Tells what keeps a run from ending, each thing once."""

    def __init__(self, *, is_quiet: bool) -> None:
        self._is_quiet = is_quiet or not console(err=True).is_terminal
        self._told: set[str] = set()

    def changed(self, run: Run) -> None:
        """Look at what is new."""
        if run.status is Status.TERMINATING and not self._is_quiet:
            self._tell(run, f"{run.run_id} is being ended; waiting for the proof")
        if run.status is Status.UNREACHABLE:
            self._tell(
                run, f"{run.run_id} is on {run.host}, which is not heard from; waiting for it to return"
            )
        for condition in run.conditions:
            if condition.type in _TOLD:
                self._tell(run, f"{run.run_id}: {one_line(condition.detail, 400)}")

    def _tell(self, run: Run, text: str) -> None:
        if text not in self._told and not run.status.ended:
            self._told.add(text)
            say(text)


async def _grace_of(client: Client, run: Run) -> float:
    """The grace that the run's host grants it, in seconds; the usual one where the log does not say yet."""
    with suppress(RunplaneError, TypeError, ValueError):
        page = await client.events(run_id=run.run_id, type="RunTerminating")
        if page.items:
            return float(page.items[-1].data["grace_seconds"])
        workflow = await client.workflow(run.workflow)
        return workflow.definition.kill.grace
    return USUAL_GRACE
