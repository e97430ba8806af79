"""The keeper of one run on this host: claims it, starts it, watches it, ends it.

Rules. Every order is decided by the pure ``decide`` on the folded state; what it means is on disk before anything is
done. One lock makes deciding, starting and telling an end one thing at a time; ending a tree takes its time outside the
lock, so that a second order can cut the grace short. A keeper is done when its run has ended, the log has all its facts
and the broker all its output.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, get_args

from agent import claim, course, receipts, workspace
from agent.attendance import Attendance
from agent.deciding import decided
from agent.elsewhere import Elsewhere
from agent.ending import Ending
from agent.environment import names_secrets, secrets_masked
from agent.hall import Hall
from agent.launch import launched, started_or_never
from agent.process.errors import RunDirectoryError
from agent.process.tree import AttemptProcess
from agent.story import Story
from agent.values import bring_all
from runplane.contract.commands import (
    DiagnoseRun,
    EvaluateExpression,
    ForceCompleteRun,
    KillRun,
    RestartRun,
    RunCommand,
    StartRun,
)
from runplane.contract.envelope import Envelope
from runplane.contract.errors import Unavailable
from runplane.contract.events import (
    OutcomeOverridden,
    ProcessSpawned,
    RunPaused,
    RunTerminating,
    TerminationEscalated,
)
from runplane.contract.run import Failure, Resources, Status
from runplane.contract.value import Value

log = logging.getLogger("agent.keeper")


class Keeper:
    """Keeps one run. ``on_free`` is told when its slot is free, ``on_done`` when nothing is left to do.

    ``gone`` is set by whoever is told that.
    """

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
        self.gone = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._freed = False
        self._is_given_back = False
        self._attendance: Attendance | None = None
        self._elsewhere = Elsewhere(hall, self.story, self._lock, end=self._end_for, spawn=self._spawn)

    async def start(self, order: Envelope, start: StartRun) -> bool:
        """Claim the run and start it; False when somebody else has it or it is over. Raises ``Unavailable``."""
        async with self._lock:
            self.story.fold(order)
            claimed = claim.claim_of(self._hall, self.story, order, start)
            await self.story.accept(order, claimed)
            return await self._claim_and(self._launch, claimed)

    async def handle(self, order: Envelope) -> bool:
        """Decide an order and begin what follows. Returns when its meaning is on disk, not when it is done.

        False: the run turned out to be somebody else's or over, and nothing was decided: the log has to be asked.
        Raises ``Unavailable`` when it cannot be put there: nothing has been decided, and the order must come again.
        """
        data = order.data
        if not isinstance(data, get_args(RunCommand)):
            return True
        if self._attendance is not None and isinstance(data, KillRun | RestartRun | ForceCompleteRun):
            self._attendance.holding.lines.give_up()
        if self._elsewhere.unheard or isinstance(data, ForceCompleteRun):
            await self._elsewhere.listen()
        async with self._lock:
            if self._is_given_back or self._is_left_behind:
                return False
            if order.id in self.story.handled:
                return True
            decision: tuple[Value, ...] = decided(self.story.state, data, await self._hall.bus.time_for(data))
            holding = self._attendance.holding if self._attendance is not None else None
            if holding is not None:
                decision = await holding.made_true(decision)
            facts = [self.story.fact(fact, cause=order, actor=order.actor) for fact in decision]
            try:
                await self.story.answer(order, *facts)
            except Unavailable:
                if holding is not None and any(isinstance(fact, RunPaused) for fact in decision):
                    holding.release()
                raise
            for fact in decision:
                self._carry_out(fact)
            if isinstance(data, DiagnoseRun) and not decision and self._attendance is not None:
                self._attendance.diagnosing.by_order(order)
            if isinstance(data, EvaluateExpression) and not decision and self._attendance is not None:
                self._attendance.evaluate(order, data)
        return True

    def was_away(self) -> None:
        """The broker was out of reach: what others have said of the run meanwhile is yet to be heard."""
        if not self._finished.is_set():
            self._elsewhere.was_away()

    async def recover(self, records: list[dict[str, Any]]) -> None:
        """Take up where a former agent left off, from the journal's records of this run. Raises ``Unavailable``."""
        unsent_claim, untold = self.story.refold(records)
        async with self._lock:
            if unsent_claim is not None:
                await self._claim_and(self._take_up_if_open, unsent_claim)
                return
            self._hall.publisher.enqueue(self.run_id, untold, recovered=True)
            run = self.story.state.run
            if run is None or not run.attempts:
                self._give_back()
            elif run.attempt_over and self.story.elsewhere is not None and not self.story.gone:
                await self._end_for(self.story.elsewhere)
            elif run.attempt_over:
                self._finish(ship=True)
            else:
                await self._take_up_if_open()

    def look_at_lease(self, elapsed: float) -> None:
        """End the attempt where it may not go on for ``elapsed`` seconds without contact to the broker."""
        if self._attendance is None or self._finished.is_set():
            return
        stop_after = self.story.spec.disconnect.stop_after
        if stop_after is not None and elapsed >= stop_after:
            self._spawn(self._attendance.overrun.end_for_lease(elapsed))

    def sample(self) -> Resources | None:
        """The tree's resources now; None while there is no tree."""
        return self._attendance.watching.sample() if self._attendance is not None else None

    @property
    def _is_left_behind(self) -> bool:
        """Whether the attempt is over and its run goes on: what is ordered of it is for the control plane."""
        run = self.story.state.run
        return run is not None and run.attempt_over and not run.status.ended

    @property
    def _ending(self) -> Ending | None:
        return self._attendance.ending if self._attendance is not None else None

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
        self._is_given_back = True
        self.story.forget()
        self._release()
        self._on_done()

    async def _launch(self) -> None:
        """Start the process; what keeps it from starting becomes the run's failure."""
        begun = await launched(self._hall, self.story)
        if isinstance(begun, Failure):
            await self.story.tell(self.story.fact(course.fact_of(self.story, "failed", begun)))
            self._finish(ship=False)
        else:
            self.process = begun
            await self._spawned(begun)

    async def _spawned(self, process: AttemptProcess) -> None:
        spawned = ProcessSpawned(
            main=receipts.reference_of(process.main),
            shim=receipts.reference_of(process.shim),
            mechanism=process.mechanism,
            cgroup=str(process.cgroup) if process.cgroup else None,
        )
        await self.story.tell(self.story.fact(spawned))
        self._watch(process, recovered=False)

    async def _take_up_if_open(self) -> None:
        """Before it is started it must be known that nobody has ended it; what runs already is taken up at once."""
        if self.story.state.status is not Status.STARTING or not await self._elsewhere.listen_locked():
            await self._take_up()
            self.was_away()

    async def _take_up(self) -> None:
        """Find the process that was started, or start it if it never was."""
        run = self.story.state.run
        assert run is not None  # noqa: S101 — taken up only after a claim
        directory = workspace.attempt_directory(self._hall.settings.runs, self.run_id, run.attempt)
        is_to_begin = run.status is Status.STARTING or run.attempts[-1].main is not None
        try:
            if not is_to_begin:
                process = await started_or_never(self._hall, directory)
            else:
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
            if self.story.state.termination is not None and self._ending is not None:
                self._ending.begin()

    async def _take_up_without_process(self, status: Status, directory: str) -> None:
        run = self.story.state.run
        if status is Status.STARTING:
            await self._launch()
        elif run is not None and run.attempts and run.attempts[-1].main is None:
            await self.story.tell(
                self.story.fact(course.ended_before_it_began(run, self.story.state.termination))
            )
            self._finish(ship=False)
        else:
            await self._lose("run_directory_lost", f"nothing is left of the attempt's directory {directory}")

    async def _end_for(self, ending: Envelope) -> None:
        """End what is left here of a run that somebody else has ended; processes that were let go live on."""
        log.warning("%s was ended by %s while this host was away", self.run_id, ending.actor.principal)
        directory = workspace.attempt_directory(self._hall.settings.runs, self.run_id, self.story.attempt)
        if self._ending is None:
            self.process = await started_or_never(self._hall, directory)
            if self.process is not None and not self.process.rebooted:
                self._watch(self.process, recovered=True)
        if self._ending is None or (isinstance(ending.data, OutcomeOverridden) and ending.data.detached):
            self._finish(ship=self._ending is None and self.process is not None)
        else:
            self._ending.begin_for(ending)

    async def _lose(self, kind: str, message: str) -> None:
        failure = Failure(kind=kind, message=message)
        await self.story.tell(self.story.fact(course.fact_of(self.story, "lost", failure)))
        self._finish(ship=True)

    def _watch(self, process: AttemptProcess, *, recovered: bool) -> None:
        self._attendance = Attendance(
            self._hall,
            self.story,
            process,
            self._lock,
            self._finished,
            spawn=self._spawn,
            tell_condition=self._tell_condition,
            on_end=self._finish,
        )
        self._attendance.begin(recovered=recovered)
        self._ship(recovered=recovered)

    def _ship(self, *, recovered: bool) -> None:
        directory = workspace.attempt_directory(self._hall.settings.runs, self.run_id, self.story.attempt)
        if recovered:
            hidden = secrets_masked(self.story.spec, self._hall.settings.secrets)
            mask = hidden if names_secrets(self.story.spec) else None
            self._spawn(bring_all(self._hall.bus, directory, mask))
        shipping = self._hall.shipper.ship(
            self.run_id,
            self.story.attempt,
            directory,
            self._finished,
            recovered=recovered,
            grown=self._attendance.overrun.count_output if self._attendance is not None else lambda *_: None,
        )
        self._spawn(shipping)

    def _carry_out(self, fact: Value) -> None:
        """Begin what a decided fact says is under way."""
        if self._attendance is not None:
            self._attendance.carry_out(fact)
        match fact:
            case RunTerminating() if self._ending is not None:
                self._ending.begin()
            case TerminationEscalated() if self._ending is not None:
                self._ending.escalate()
            case OutcomeOverridden() if fact.detached:
                self._finish(ship=False)
            case _:
                pass

    def _finish(self, *, ship: bool = False) -> None:
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

    async def _tell_condition(self, data: Value) -> Envelope | None:
        """What was seen of a live run; what was told of it. A full disk has it seen again later."""
        async with self._lock:
            run = self.story.state.run
            if run is None or run.attempt_over:
                return None
            fact = self.story.fact(data)
            try:
                await self.story.report(fact)
            except Unavailable:
                return None
            return fact

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
