"""``runplane demo``: a workflow gets stuck, is killed with proof, restarted, and everything of it stands in the log.

Nothing is acted: a real system, real processes, a real MCP session. Where a step does not come out as it should, the
demo says so and exits with 1.
"""

import asyncio
import select
import sys
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import click

from runplane.cli.demo_mcp import McpTools
from runplane.cli.demo_stage import WORKFLOW_FILE, Stage, examples_directory, stage
from runplane.cli.duration import age_of, show_duration
from runplane.cli.following import PlainView, ProgressView
from runplane.cli.problem import Exit, Problem
from runplane.cli.receipt import receipt_page
from runplane.cli.record_line import draw_record
from runplane.cli.run_table import run_table
from runplane.cli.size import count
from runplane.cli.terminal import console, draw, one_line, plain, say, write, write_json
from runplane.cli.waiting import has_ended, wait_until
from runplane.cli.workflow_file import read_workflow
from runplane.client import Client
from runplane.contract.errors import NotFound
from runplane.contract.run import Run, Status

LOOK_FOR = 5.0
BEGIN_WITHIN = 30.0
END_WITHIN = 90.0
STAY_AT_MOST = 1800.0
STUCK_AT = "no progress at 0 of 40 issues"
_NOISE = frozenset({"ProgressReported", "StepStarted", "StepCompleted"})


@click.command(epilog="Example: runplane demo --keep")
@click.option("--keep", is_flag=True, help="Leave the system running, with the runs to look at.")
@click.option(
    "--port",
    default=0,
    show_default=True,
    type=click.IntRange(0, 65_535),
    help="Of the dashboard; 0 picks one.",
)
@click.option(
    "--pace",
    default=10.0,
    show_default=True,
    type=click.FloatRange(0, 600),
    help="Seconds the healthy run takes.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a step.")
def demo(*, keep: bool, port: int, pace: float, as_json: bool) -> int:
    """Play the story of a stuck run against the real system: found, killed with proof, restarted, accounted for.

    Uses the system that runs, or starts one of its own and stops it afterwards, with everything it made.
    """
    try:
        if not as_json:
            say("Starting the system: broker, control plane, agent …")
        with stage(port=port, keep=keep) as scene:
            asyncio.run(_Story(scene, pace=pace, keep=keep, as_json=as_json).play())
            if scene.is_own and not keep and not as_json:
                _let_look()
    except KeyboardInterrupt:
        say("stopped; what the demo had started was ended")
        return 130
    return Exit.DONE


class _Story:
    """The steps, in order."""

    def __init__(self, scene: Stage, *, pace: float, keep: bool, as_json: bool) -> None:
        self._scene = scene
        self._pace = pace
        self._keep = keep
        self._as_json = as_json
        self._tools = McpTools(scene.environment())
        self._number = 0
        self._runs: list[str] = []

    async def play(self) -> None:
        """A step a line; whatever happens, no run of the demo is left open."""
        place = self._scene.place
        async with Client(place.url, place.token, surface="cli", is_supervised=place.is_supervised) as client:
            try:
                workflow = await self._registered(client)
                stuck = await self._get_stuck(client, workflow)
                await self._diagnose(client, stuck)
                killed = await self._kill(client, stuck)
                await self._restart(client, killed)
                await self._force_complete(client, workflow)
                await self._account(client)
            finally:
                await self._tidy(client)
        self._farewell()

    async def _registered(self, client: Client) -> str:
        """The example's name in the registry; another one where the system has a ``lina`` of its own."""
        definition = read_workflow(examples_directory() / WORKFLOW_FILE)
        try:
            known = await client.workflow(definition.name)
        except NotFound:
            known = None
        if known is None or known.definition.command != definition.command:
            if known is not None:
                definition = definition.model_copy(update={"name": "runplane-demo-lina"})
            await client.apply_workflow(definition)
        return definition.name

    async def _get_stuck(self, client: Client, workflow: str) -> Run:
        self._chapter("LINA simplifies an epic of 40 issues, asks an API that never answers, and is stuck")
        run = await client.start_run(workflow, {"mode": "stuck", "pace": self._pace})
        self._runs.append(run.run_id)
        run = await wait_until(
            client, run, lambda run: run.progress is not None or run.status.ended, limit=BEGIN_WITHIN
        )
        if run.progress is None:
            raise Problem(f"{run.run_id} should have reported progress, but is {run.status}")
        before = run.progress
        run = await self._look_at(client, run)
        if run.status is not Status.RUNNING or run.progress != before:
            raise Problem(f"{run.run_id} should be stuck, but is {run.status} and went on")
        silent = show_duration(age_of(before.updated_at))
        self._note(
            f"It runs, it costs memory, and for {silent} it has come no further than {before.done:g} of 40."
        )
        self._fact(
            "stuck", run_id=run.run_id, status=str(run.status), silent_seconds=age_of(before.updated_at)
        )
        return run

    async def _look_at(self, client: Client, run: Run) -> Run:
        """Five seconds of `runplane ps`."""
        from rich.live import Live

        end = asyncio.get_running_loop().time() + LOOK_FOR
        with Live(console=console(), auto_refresh=False) as live:
            while asyncio.get_running_loop().time() < end:
                run = await client.get_run(run.run_id)
                if not self._as_json and console().is_terminal:
                    live.update(run_table([run]), refresh=True)
                await asyncio.sleep(0.5)
        if not self._as_json and not console().is_terminal:
            draw(run_table([run]))
        return run

    async def _diagnose(self, client: Client, run: Run) -> None:
        self._chapter(
            "What does it wait for? `runplane diagnose` looks at its processes, and disturbs none of them"
        )
        seen = await client.diagnose_run(run.run_id)
        if not seen.processes:
            raise Problem(
                f"{run.run_id} should have processes to look at, but the answer was: {seen.sentence}"
            )
        threads = [thread for process in seen.processes for thread in process.threads]
        self._say(seen.sentence)
        self._note(
            f"Seen in {seen.duration_ms:.0f} ms: {count(len(seen.processes), 'process', 'processes')}, "
            f"{count(len(threads), 'thread')}, their stacks, sockets, files and last output."
        )
        self._fact("diagnosed", run_id=run.run_id, sentence=seen.sentence, processes=len(seen.processes))

    async def _kill(self, client: Client, run: Run) -> Run:
        self._chapter("An MCP client calls kill_workflow; the answer is a receipt")
        answer = await self._tools.call("kill_workflow", run_id=run.run_id, reason=STUCK_AT)
        self._note(f"Session over stdio with {self._tools.server}, protocol {self._tools.protocol}.")
        killed = await client.get_run(run.run_id)
        receipt = killed.kill_receipt
        if answer.get("confirmed") is not True or killed.status is not Status.KILLED or receipt is None:
            raise Problem(f"{run.run_id} should be killed and confirmed, but is {killed.status}")
        if receipt.via != "mcp" or not receipt.verified:
            raise Problem(
                f"the receipt of {run.run_id} should be verified and name mcp, but says {receipt.via}"
            )
        if not self._as_json:
            draw(receipt_page(killed))
        if self._scene.home is not None:
            alive = [one.pid for one in receipt.processes if _is_alive(one.pid, one.start_time)]
            if alive:
                raise Problem(f"the receipt says that all is gone, but /proc shows {alive}")
            pids = ", ".join(str(one.pid) for one in receipt.processes)
            self._note(f"Looked up in /proc: {pids} are no more, the daemon that ignores SIGTERM included.")
        self._fact("killed", run_id=run.run_id, status=str(killed.status), processes=len(receipt.processes))
        return killed

    async def _restart(self, client: Client, run: Run) -> None:
        self._chapter(f"It calls restart_workflow, with an API that answers; the work takes {self._pace:g} s")
        answer = await self._tools.call(
            "restart_workflow", run_id=run.run_id, reason="the API answers again", params={"mode": "healthy"}
        )
        new = await client.get_run(str(answer["new_run_id"]))
        self._runs.append(new.run_id)
        self._note(f"{run.run_id} goes on as {new.run_id}.")
        ended = await self._watch(client, new)
        if ended.status is not Status.COMPLETED or ended.restarted_from != run.run_id:
            raise Problem(f"{new.run_id} should have completed, but is {ended.status}")
        took = show_duration(age_of(ended.started_at or ended.created_at, ended.ended_at))
        done = ended.progress.done if ended.progress is not None else None
        self._note(f"{ended.run_id} completed in {took}: {done or 0:g} of 40 issues.")
        self._fact("restarted", run_id=run.run_id, new_run_id=ended.run_id, status=str(ended.status))

    async def _watch(self, client: Client, run: Run) -> Run:
        limit = END_WITHIN + self._pace
        if self._as_json or not console(err=True).is_terminal:
            return await wait_until(client, run, has_ended, limit=limit, on_change=PlainView().changed)
        with ProgressView().shown(run) as view:
            return await wait_until(client, run, has_ended, limit=limit, on_change=view.changed)

    async def _force_complete(self, client: Client, workflow: str) -> None:
        self._chapter("A third run tries again and again; an operator declares its outcome")
        run = await client.start_run(workflow, {"mode": "loop", "pace": self._pace})
        self._runs.append(run.run_id)
        run = await wait_until(
            client, run, lambda run: run.step is not None or run.status.ended, limit=BEGIN_WITHIN
        )
        await client.force_complete_run(run.run_id, outcome="failed", reason="the API is down for the night")
        ended = await wait_until(client, run, has_ended, limit=END_WITHIN)
        if ended.status is not Status.FAILED or ended.override is None:
            raise Problem(f"{run.run_id} should be declared failed, but is {ended.status}")
        by = f"{ended.override.by} ({ended.override.via})"
        self._note(f"{ended.run_id} is {ended.status}, declared by {by}: {ended.override.observed}.")
        self._fact("force-completed", run_id=ended.run_id, status=str(ended.status))

    async def _account(self, client: Client) -> None:
        self._chapter("The log knows who asked for what, and what came of it")
        records = {
            record.seq: record
            for run_id in self._runs
            for record in (await client.run_events(run_id)).items
            if record.type not in _NOISE
        }
        if not self._as_json:
            for _, record in sorted(records.items()):
                draw_record(record)
        surfaces = {record.actor.surface for record in records.values()}
        if not {"cli", "mcp"} <= surfaces:
            raise Problem(f"the log should name cli and mcp, but names {', '.join(sorted(surfaces))}")
        rebuilt = await client.rebuild()
        if not rebuilt.equal:
            raise Problem(
                f"the log should fold to the same state again, but differs: {rebuilt.first_difference}"
            )
        self._note(f"Folded anew from the log, {count(rebuilt.runs, 'run')} come out equal.")
        self._fact("accounted", records=len(records), equal=rebuilt.equal)

    async def _tidy(self, client: Client) -> None:
        for run_id in self._runs:
            with suppress(Exception):
                run = await client.get_run(run_id)
                if not run.status.ended:
                    await client.kill_run(run_id, reason="the demo is over", force=True, wait=20.0)

    def _farewell(self) -> None:
        scene = self._scene
        self._fact("dashboard", url=scene.place.url, home=str(scene.home.path) if scene.home else None)
        if self._as_json:
            return
        address = scene.place.url
        if console().is_terminal and scene.place.token:
            address = f"{address}/?token={scene.place.token}"
        write(f"\nDashboard  {address}\n")
        if scene.home is None or not scene.is_own:
            return
        if self._keep:
            write(f"Stop       runplane down --kill-runs --home {scene.home.path}\n")
        else:
            write("           It ends with the demo; `runplane demo --keep` leaves it running.\n")

    def _chapter(self, title: str) -> None:
        self._number += 1
        if not self._as_json:
            write("\n")
            draw(plain(f"{self._number}. {title}", "bold cyan"))

    def _note(self, text: str) -> None:
        if not self._as_json:
            draw(plain(text))

    def _say(self, text: str) -> None:
        """What somebody else said, whole."""
        if not self._as_json:
            write(f"{one_line(text, 1000)}\n")

    def _fact(self, step: str, **facts: Any) -> None:
        if self._as_json:
            write_json({"step": step, "at": datetime.now(UTC).isoformat(), **facts})


def _is_alive(pid: int, start_time: int) -> bool:
    from runplane.cli.process import Identity

    return Identity(pid=pid, start_time=start_time).is_alive()


def _let_look() -> None:
    """On a terminal, the dashboard stays until it was looked at."""
    if not (sys.stdin.isatty() and console().is_terminal):
        return
    write("\nThe system runs on until you press Enter. ")
    select.select([sys.stdin], [], [], STAY_AT_MOST)
