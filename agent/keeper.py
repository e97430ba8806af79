"""The keeper of one run on this host: claims it, starts it, watches it, ends it.

Rules. Every order is decided by the pure ``decide`` on the folded state; what it means is on disk before anything is
done. One lock makes deciding, starting and telling an end one thing at a time; ending a tree takes its time outside the
lock, so that a second order can cut the grace short. A keeper is done when its run has ended, the log has all its facts
and the broker all its output.
"""

import asyncio
import logging
import signal as signals
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, get_args

from agent import claim, environment, receipts, workspace
from agent.hall import Hall
from agent.process.errors import LaunchError, RunDirectoryError
from agent.process.launcher import LaunchRequest
from agent.process.records import TreeEnded
from agent.process.tree import AttemptProcess
from agent.story import Story
from agent.watch.follow import follow_reports
from agent.watch.reports import Report, ReportFile
from agent.watch.sampler import TreeSampler
from runplane.contract.commands import RunCommand, StartRun
from runplane.contract.envelope import Envelope
from runplane.contract.errors import InvalidInput
from runplane.contract.events import (
    CommandRejected,
    LeftoversFound,
    OutcomeOverridden,
    ProcessExited,
    ProcessSpawned,
    RunCanceled,
    RunCompleted,
    RunFailed,
    RunKilled,
    RunLost,
    RunTerminating,
    RunTimedOut,
    SurvivorsFound,
    TerminationEscalated,
    TreeVerifiedGone,
)
from runplane.contract.run import Actor, Failure, KillReceipt, Resources, Status
from runplane.contract.value import Value
from runplane.core.decide import Rejection, decide
from runplane.core.state import Termination
from runplane.stamp import now

log = logging.getLogger("agent.keeper")


class Keeper:
    """Keeps one run. ``on_free`` is told when its slot is free, ``on_done`` when nothing is left to do."""

    def __init__(
        self, hall: Hall, run_id: str, on_free: Callable[[], None], on_done: Callable[[], None]
    ) -> None:
        """Nothing happens before :meth:`start`, :meth:`recover` or :meth:`handle`."""
        self.run_id = run_id
        self.story = Story(hall, run_id)
        self.process: AttemptProcess | None = None
        self._hall = hall
        self._on_free = on_free
        self._on_done = on_done
        self._lock = asyncio.Lock()
        self._finished = asyncio.Event()
        self._escalate = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._reports: ReportFile | None = None
        self._sampler = TreeSampler()
        self._freed = False
        self._ending = False

    async def start(self, order: Envelope, start: StartRun) -> bool:
        """Claim the run and start it; False when somebody else has it or it is over. Raises ``Unavailable``."""
        async with self._lock:
            self.story.fold(order)
            claimed = claim.claim_of(self._hall, self.story, order, start)
            await self.story.accept(order, claimed)
            return await self._claim_and(self._launch, claimed)

    async def handle(self, order: Envelope) -> None:
        """Decide an order and begin what follows. Returns when its meaning is on disk, not when it is done."""
        data = order.data
        if order.id in self.story.handled or not isinstance(data, get_args(RunCommand)):
            return
        async with self._lock:
            decision = decide(self.story.state, data, now())
            self.story.handled.add(order.id)
            if isinstance(decision, Rejection):
                decision = (
                    CommandRejected(
                        command=order.type,
                        code=decision.code,
                        message=decision.message,
                        detail=decision.detail,
                    ),
                )
            facts = [self.story.fact(fact, cause=order, actor=order.actor) for fact in decision]
            await self.story.tell(*facts, order=order)
            for fact in decision:
                self._carry_out(fact)

    async def recover(self, records: list[dict[str, Any]]) -> None:
        """Take up where a former agent left off, from the journal's records of this run. Raises ``Unavailable``."""
        unsent_claim, untold = self.story.refold(records)
        async with self._lock:
            if unsent_claim is not None:
                await self._claim_and(self._take_up, unsent_claim)
                return
            self._hall.publisher.enqueue(self.run_id, untold, recovered=True)
            run = self.story.state.run
            if run is None or run.attempt == 0:
                self._give_back()
            elif run.status.ended:
                self._finish(ship=True)
            else:
                await self._take_up()

    def sample(self) -> Resources | None:
        """The tree's resources now; None while there is no tree."""
        if self.process is None or self.process.gone.is_set():
            return None
        return self._sampler.sample(facts.pid for facts in self.process.members())

    async def close(self) -> None:
        """Let go of everything; the run lives on."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self.process is not None:
            self.process.close()

    async def _claim_and(self, begin: Callable[[], Coroutine[Any, Any, None]], claimed: Envelope) -> bool:
        if not await claim.win(self._hall, self.story, claimed):
            self._give_back()
            return False
        await begin()
        return True

    def _give_back(self) -> None:
        """The run is somebody else's: nothing of it stays here."""
        self.story.forget()
        self._release()
        self._on_done()

    async def _launch(self) -> None:
        """Start the process; what keeps it from starting becomes the run's failure."""
        spec, attempt = self.story.spec, self.story.attempt
        directory = workspace.attempt_directory(self._hall.settings.runs, self.run_id, attempt)
        try:
            request = LaunchRequest(
                run_id=self.run_id,
                attempt=attempt,
                directory=directory,
                argv=spec.argv,
                cwd=workspace.prepare(spec.workspace, directory),
                env=environment.build(
                    spec,
                    run_id=self.run_id,
                    attempt=attempt,
                    directory=directory,
                    secrets=self._hall.settings.secrets,
                ),
                params=spec.params,
            )
            self.process = await self._hall.launcher.launch(request)
        except LaunchError as error:
            process = await self._launched_before(error, directory)
            if process is None:
                await self._fail(receipts.launch_failure(error))
            else:
                self.process = process
                await self._spawned(process)
        except (InvalidInput, RunDirectoryError) as error:
            await self._fail(Failure(kind=error.error_code, message=error.message))
        except OSError as error:
            await self._fail(
                Failure(kind="no_resources", message=f"the run directory cannot be made: {error}")
            )
        else:
            await self._spawned(self.process)

    async def _launched_before(self, error: LaunchError, directory: Path) -> AttemptProcess | None:
        """The process that an earlier agent had started here; None where none ever was, and none will be."""
        return await self._hall.launcher.adopt(directory) if error.kind == "already_launched" else None

    async def _fail(self, failure: Failure) -> None:
        await self.story.tell(self.story.fact(RunFailed(failure=failure)))
        self._finish(ship=False)

    async def _spawned(self, process: AttemptProcess) -> None:
        spawned = ProcessSpawned(
            main=receipts.reference_of(process.main),
            shim=receipts.reference_of(process.shim),
            mechanism=process.mechanism,
            cgroup=str(process.cgroup) if process.cgroup else None,
        )
        await self.story.tell(self.story.fact(spawned))
        self._watch(process, recovered=False)

    async def _take_up(self) -> None:
        """Find the process that was started, or start it if it never was."""
        run = self.story.state.run
        assert run is not None  # noqa: S101 — taken up only after a claim
        directory = workspace.attempt_directory(self._hall.settings.runs, self.run_id, run.attempt)
        try:
            process = await self._hall.launcher.adopt(directory) if directory.exists() else None
        except RunDirectoryError as error:
            await self._lose("run_directory_lost", error.message)
            return
        if process is None:
            await self._take_up_without_process(run.status, directory=str(directory))
            return
        self.process = process
        if process.rebooted:
            await self._lose("host_rebooted", "the machine was started again while the run was open")
        elif run.status is Status.STARTING:
            await self._spawned(process)
        else:
            self._watch(process, recovered=True)
            if self.story.state.termination is not None:
                self._end(process)

    async def _take_up_without_process(self, status: Status, directory: str) -> None:
        run = self.story.state.run
        if status is Status.STARTING:
            await self._launch()
        elif run is not None and run.attempts and run.attempts[-1].main is None:
            termination = self.story.state.termination
            await self.story.tell(
                self.story.fact(RunCanceled(reason=termination.reason if termination else None))
            )
            self._finish(ship=False)
        else:
            await self._lose("run_directory_lost", f"nothing is left of the attempt's directory {directory}")

    async def _lose(self, kind: str, message: str) -> None:
        await self.story.tell(self.story.fact(RunLost(failure=Failure(kind=kind, message=message))))
        self._finish(ship=True)

    def _watch(self, process: AttemptProcess, *, recovered: bool) -> None:
        self._reports = ReportFile(process.directory / "reports.jsonl")
        self._spawn(self._until_exit(process))
        self._spawn(
            follow_reports(
                self._reports,
                process.directory / "reports.jsonl",
                self._hall.watcher,
                self._finished,
                self._report,
            )
        )
        self._ship(recovered=recovered)
        if self.story.spec.timeout is not None:
            self._spawn(self._until_timeout(self.story.spec.timeout))

    def _ship(self, *, recovered: bool) -> None:
        directory = workspace.attempt_directory(self._hall.settings.runs, self.run_id, self.story.attempt)
        shipping = self._hall.shipper.ship(
            self.run_id, self.story.attempt, directory, self._finished, recovered=recovered
        )
        self._spawn(shipping)

    async def _report(self, reports: list[Report]) -> None:
        async with self._lock:
            run = self.story.state.run
            facts = self.story.reported(reports)
            if facts and run is not None and not run.status.ended:
                await self.story.tell(*facts)

    async def _until_exit(self, process: AttemptProcess) -> None:
        """Wait for the natural end; an end that was ordered is told by whoever carries it out."""
        await process.wait_exit()
        leftovers = process.leftovers()
        if leftovers and not self._ordered_to_end:
            policy = self.story.spec.leftovers
            found = LeftoversFound(processes=receipts.leftovers_of(leftovers), policy=policy)
            async with self._lock:
                await self.story.tell(self.story.fact(found))
            limit = self.story.spec.kill.grace if policy == "end" else None
            await self._wait_gone(process, limit)
        if self._ordered_to_end:
            return
        ended = await self._terminate(process, grace_seconds=0.0, force=True)
        async with self._lock:
            if not self._ordered_to_end:
                await self._tell_natural_end(process, ended, None)

    async def _wait_gone(self, process: AttemptProcess, limit: float | None) -> None:
        try:
            async with asyncio.timeout(limit):
                await process.wait_gone()
        except TimeoutError:
            log.info("%s: leftovers outlived the grace and are ended", self.run_id)

    async def _until_timeout(self, timeout: float) -> None:
        run = self.story.state.run
        began = run.started_at if run is not None and run.started_at is not None else now()
        await asyncio.sleep(max(0.0, timeout - (now() - began).total_seconds()))
        async with self._lock:
            run = self.story.state.run
            if run is None or run.status not in (Status.RUNNING, Status.PAUSED):
                return
            fact = RunTerminating(
                purpose="timeout",
                method="graceful",
                grace_seconds=self.story.spec.kill.grace,
                reason=f"its time of {timeout:g} s was up",
            )
            await self.story.tell(self.story.fact(fact))
            self._carry_out(fact)

    @property
    def _ordered_to_end(self) -> bool:
        """Whether an ordered end is under way or over."""
        return self.story.state.termination is not None

    def _carry_out(self, fact: Value) -> None:
        """Begin what a decided fact says is under way."""
        match fact:
            case RunTerminating() if self.process is not None:
                self._end(self.process)
            case TerminationEscalated():
                self._escalate.set()
            case OutcomeOverridden() if fact.detached:
                self._finish(ship=False)
            case _:
                pass

    async def _terminate(self, process: AttemptProcess, *, grace_seconds: float, force: bool) -> TreeEnded:
        """End the tree and prove it; name survivors in the log and go on until none is left."""
        while True:
            ended = await process.terminate(
                signal=signals.Signals[self.story.spec.kill.signal],
                grace_seconds=grace_seconds,
                force=force,
                escalate=self._escalate,
            )
            if ended.verified:
                return ended
            async with self._lock:
                survivors = SurvivorsFound(survivors=receipts.survivors_of(ended.survivors))
                await self.story.tell(self.story.fact(survivors))
            await process.wait_gone()
            force = True

    def _end(self, process: AttemptProcess) -> None:
        """Begin to end the tree, once: a further order meanwhile changes the purpose, not the ending."""
        termination = self.story.state.termination
        if termination is not None and not self._ending:
            self._ending = True
            self._spawn(self._end_tree(process, termination))

    async def _end_tree(self, process: AttemptProcess, began_by: Termination) -> None:
        ended = await self._terminate(process, grace_seconds=began_by.grace_seconds, force=began_by.force)
        async with self._lock:
            run = self.story.state.run
            if run is None or run.status.ended:
                return
            termination = self.story.state.termination or began_by
            cleanup = workspace.clean(self.story.spec.workspace, process.directory)
            receipt = receipts.receipt_of(termination, ended, cleanup)
            fact = self._end_by(termination, ended, receipt)
            if fact is None:
                await self._tell_natural_end(process, ended, receipt)
            else:
                await self._tell_ordered_end(process, termination, fact)

    def _end_by(self, termination: Termination, ended: TreeEnded, receipt: KillReceipt) -> Value | None:
        """The ending an order leads to; None where the main process had ended by itself before it was signalled."""
        if termination.purpose == "force_complete":
            return OutcomeOverridden(
                outcome=termination.outcome or "failed",
                reason=termination.reason,
                observed=receipts.observed_of(ended),
                receipt=receipt,
            )
        if receipts.ended_by_itself(ended, self.process):
            return None
        if termination.purpose == "timeout":
            failure = Failure(kind="timeout", message=termination.reason or "its time was up")
            return RunTimedOut(failure=failure, receipt=receipt)
        return RunKilled(receipt=receipt)

    async def _tell_ordered_end(self, process: AttemptProcess, termination: Termination, fact: Value) -> None:
        actor = Actor(principal=termination.requested_by, surface=termination.via)
        exited = ProcessExited.model_validate(receipts.exited(process.exit))
        await self.story.tell(
            *self._last_reports(),
            self.story.fact(exited),
            self.story.fact(fact, actor=actor, command_id=termination.command_id),
        )
        self._finish(ship=False)

    async def _tell_natural_end(
        self, process: AttemptProcess, ended: TreeEnded, receipt: KillReceipt | None
    ) -> None:
        """The main process ended by itself: its exit decides."""
        run = self.story.state.run
        if run is None:
            return
        if receipt is None:
            workspace.clean(self.story.spec.workspace, process.directory)
        facts: list[Value] = [
            ProcessExited.model_validate(receipts.exited(process.exit)),
            TreeVerifiedGone(verified_by=ended.verified_by, receipt=receipt),
        ]
        if not run.status.ended:
            failure = receipts.failure_of(process.exit)
            facts.append(RunFailed(failure=failure) if failure is not None else RunCompleted())
        await self.story.tell(*self._last_reports(), *(self.story.fact(fact) for fact in facts))
        self._finish(ship=False)

    def _last_reports(self) -> list[Envelope]:
        return self.story.reported(self._reports.read(last=True)) if self._reports is not None else []

    def _finish(self, *, ship: bool) -> None:
        """The run has ended: free its slot, send what is left, then be forgotten."""
        if self._finished.is_set():
            return
        self._finished.set()
        self._release()
        if ship:
            self._ship(recovered=True)
        self._spawn(self._until_told())

    async def _until_told(self) -> None:
        while waiting := [task for task in self._tasks if task is not asyncio.current_task()]:
            await asyncio.wait(waiting)
        await self._hall.publisher.settled(self.run_id)
        self.story.forget()
        if self.process is not None:
            self.process.close()
        self._on_done()

    def _release(self) -> None:
        if not self._freed:
            self._freed = True
            self._on_free()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(self._guarded(work), name=self.run_id)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception:
            log.exception("keeping %s: a part of it failed", self.run_id)
