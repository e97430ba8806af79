"""How an attempt ends: by itself, by order, by its time; and how that is told. Made by the keeper for a live process.

Rules. One ending a tree: a further order meanwhile changes the purpose or cuts the grace short, never begins a second
one. The main process's own ending decides where nothing had been sent to it; what was declared decides over both. An
ending is told only when the kernel has shown that nothing of the tree is left; until then survivors are named.
"""

import asyncio
import logging
import signal as signals
from collections.abc import Callable, Coroutine
from typing import Any

from agent import course, failpoint, receipts, workspace
from agent.process.records import TreeEnded
from agent.process.tree import AttemptProcess
from agent.reporting import Reporting
from agent.story import Story
from agent.watch.limits import reached_by_kernel
from runplane.contract.envelope import Envelope
from runplane.contract.events import (
    AttemptFailed,
    LeftoversFound,
    OutcomeOverridden,
    ProcessExited,
    RunCompleted,
    RunKilled,
    RunLost,
    RunTerminating,
    SurvivorsFound,
    TreeVerifiedGone,
)
from runplane.contract.run import Actor, Failure, KillReceipt, Status, VerifiedBy
from runplane.contract.run import Ending as EndingOfAttempt
from runplane.contract.value import Value
from runplane.core.state import Termination

log = logging.getLogger("agent.ending")


class Ending:
    """The end of one process tree. ``lock`` is the keeper's: telling an end and deciding an order exclude each other.

    ``spawn`` runs work beside the keeper, ``reporting`` has what the workflow said and nobody has told yet,
    ``longest_quiet`` for how long it had nothing to say; ``on_end`` is called once the end is on disk.
    """

    def __init__(
        self,
        story: Story,
        process: AttemptProcess,
        lock: asyncio.Lock,
        *,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        reporting: Reporting,
        on_end: Callable[[], None],
        longest_quiet: Callable[[], float | None],
    ) -> None:
        """Nothing is ended before :meth:`begin` or the process's own end."""
        self._story = story
        self._process = process
        self._lock = lock
        self._spawn = spawn
        self._reporting = reporting
        self._on_end = on_end
        self._longest_quiet = longest_quiet
        self._cut_short = asyncio.Event()
        self._begun = False

    def begin(self) -> None:
        """Begin to end the tree as was ordered; once."""
        termination = self._story.state.termination
        if termination is not None and not self._begun:
            self._begun = True
            self._spawn(self._by_order(termination))

    def begin_for(self, ending: Envelope) -> None:
        """Begin to end the tree of a run that somebody else has ended; an end that is under way goes on, and faster."""
        if self._begun:
            self.escalate()
            return
        self._begun = True
        declared = Termination(
            command_id=ending.command_id,
            purpose="force_complete",
            force=False,
            reason=getattr(ending.data, "reason", None),
            requested_by=ending.actor.principal,
            via=ending.actor.surface,
            since=ending.time,
            grace_seconds=self._story.spec.kill.grace,
        )
        self._spawn(self._by_order(declared))

    def escalate(self) -> None:
        """Cut the grace short."""
        self._cut_short.set()

    async def until_exit(self) -> None:
        """Wait for the natural end; an end that was ordered is told by whoever carries it out."""
        await self._process.wait_exit()
        leftovers = self._process.leftovers()
        if leftovers and not self._ordered:
            policy = self._story.spec.leftovers
            found = LeftoversFound(processes=receipts.leftovers_of(leftovers), policy=policy)
            async with self._lock:
                await self._story.tell(self._story.fact(found))
            await self._wait_gone(self._story.spec.kill.grace if policy == "end" else None)
        if self._ordered:
            return
        ended = await self._terminate(grace_seconds=0.0, force=True, keep_remains=True)
        await self._reporting.settle()
        async with self._lock:
            if not self._ordered:
                await self._tell_natural_end(ended, None)

    async def order(self, fact: RunTerminating, *, also_when_over: bool = False) -> None:
        """Tell that the end begins, and begin it; nothing where another one has, or the attempt is not at work.

        ``also_when_over``: though its main process has ended, and something of it lives on.
        """
        async with self._lock:
            run = self._story.state.run
            if run is None or run.status not in (Status.RUNNING, Status.PAUSED) or self._begun:
                return
            if self._over and not also_when_over:
                return
            await self._story.tell(self._story.fact(fact))
            self.begin()

    @property
    def _over(self) -> bool:
        """Whether the main process has ended: then the limit it had reached is told with its end."""
        return self._process.exit is not None

    @property
    def _ordered(self) -> bool:
        """Whether an ordered end is under way or over."""
        return self._begun or self._story.state.termination is not None

    async def _wait_gone(self, limit: float | None) -> None:
        try:
            async with asyncio.timeout(limit):
                await self._process.wait_gone()
        except TimeoutError:
            log.info("%s: leftovers outlived the grace and are ended", self._story.run_id)

    async def _terminate(self, *, grace_seconds: float, force: bool, keep_remains: bool = False) -> TreeEnded:
        """End the tree and prove it; name survivors in the log and go on until none is left."""
        while True:
            ended = await self._process.terminate(
                signal=signals.Signals[self._story.spec.kill.signal],
                grace_seconds=grace_seconds,
                force=force,
                escalate=self._cut_short,
                keep_remains=keep_remains,
            )
            if ended.verified:
                return ended
            async with self._lock:
                survivors = SurvivorsFound(survivors=receipts.survivors_of(ended.survivors))
                await self._story.tell(self._story.fact(survivors))
            await self._process.wait_gone()
            force = True

    async def _by_order(self, began_by: Termination) -> None:
        failpoint.passing("end.before")
        ended = await self._terminate(grace_seconds=began_by.grace_seconds, force=began_by.force)
        failpoint.passing("end.after")
        await self._reporting.settle()
        async with self._lock:
            run = self._story.state.run
            if run is None:
                return
            termination = self._story.state.termination or began_by
            cleanup = workspace.clean(self._story.spec.workspace, self._process.directory)
            receipt = receipts.receipt_of(termination, ended, cleanup)
            fact = self._end_by(termination, ended, receipt) if not run.attempt_over else None
            if fact is None:
                failure = termination.failure if termination.purpose == "limit" else None
                await self._tell_natural_end(ended, receipt, failure)
            else:
                await self._tell_ordered_end(termination, fact, ended.verified_by)

    def _end_by(self, termination: Termination, ended: TreeEnded, receipt: KillReceipt) -> Value | None:
        """The ending an order leads to; None where the main process had ended by itself before it was signalled."""
        if termination.purpose == "force_complete":
            return OutcomeOverridden(
                outcome=termination.outcome or "failed",
                reason=termination.reason,
                observed=receipts.observed_of(ended),
                receipt=receipt,
            )
        if termination.purpose == "limit" or receipts.ended_by_itself(ended):
            return None
        if termination.purpose == "disconnect":
            failure = termination.failure or lease_over(0.0)
            return course.fact_of(self._story, "lost", failure, receipt=receipt)
        if termination.purpose in ("timeout", "stuck"):
            known = Failure(kind="timeout", message=termination.reason or "its time was up")
            ending: EndingOfAttempt = "stuck" if termination.purpose == "stuck" else "timed_out"
            return course.fact_of(self._story, ending, termination.failure or known, receipt=receipt)
        return RunKilled(receipt=receipt)

    async def _tell_ordered_end(
        self, termination: Termination, fact: Value, verified_by: tuple[VerifiedBy, ...]
    ) -> None:
        actor = Actor(principal=termination.requested_by, surface=termination.via)
        facts = [self._story.fact(self._exited())]
        if isinstance(
            fact, AttemptFailed | RunLost
        ):  # what it says may come too late; what was seen does not
            facts.append(self._story.fact(TreeVerifiedGone(verified_by=verified_by)))
        facts.append(self._story.fact(fact, actor=actor, command_id=termination.command_id))
        await self._story.tell(*self._reporting.last(), *facts)
        self._on_end()

    async def _tell_natural_end(
        self, ended: TreeEnded, receipt: KillReceipt | None, failure: Failure | None = None
    ) -> None:
        """The main process ended by itself, or for a limit: the limit decides, else its exit."""
        run = self._story.state.run
        if run is None:
            return
        if receipt is None:
            workspace.clean(self._story.spec.workspace, self._process.directory)
        reports = [] if run.attempt_over else self._reporting.last()
        facts: list[Value] = [
            self._exited(),
            TreeVerifiedGone(verified_by=ended.verified_by, receipt=receipt),
        ]
        if not run.attempt_over:
            failure = failure or receipts.failure_of(self._process.exit)
            if failure is not None:
                failure = reached_by_kernel(self._story.spec.limits, self._process) or failure
            facts.append(self._natural_end(failure))
        await self._story.tell(*reports, *(self._story.fact(fact) for fact in facts))
        self._on_end()

    def _natural_end(self, failure: Failure | None) -> Value:
        ended = self._process.exit
        if ended is not None and "lease" in ended.limits_reached:  # its shim ended it
            return course.fact_of(self._story, "lost", lease_over(None))
        if failure is None:
            return RunCompleted()
        if self._reporting.shape_changed is not None:
            failure = Failure(kind="shape_changed", message=self._reporting.shape_changed)
        return course.fact_of(
            self._story, "failed", failure, exit_code=ended.code if ended is not None else None
        )

    def _exited(self) -> ProcessExited:
        quiet = self._longest_quiet()
        told = ProcessExited.model_validate(receipts.exited(self._process.exit))
        return told.model_copy(
            update={"longest_quiet_seconds": round(quiet, 1) if quiet is not None else None}
        )


def lease_over(elapsed: float | None) -> Failure:
    """What is told of an attempt whose host was cut off; ``elapsed``: seconds, where this agent has counted them."""
    long = f"for {elapsed:.0f} s" if elapsed is not None else "for too long, with no agent there"
    return Failure(
        kind="host_lost",
        message=f"its host was cut off from the broker {long} and ended it, as disconnect.stop_after says",
    )
