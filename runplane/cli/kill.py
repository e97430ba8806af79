"""``runplane kill``: kill runs, wait until the kernel shows that every process is gone, print the receipt."""

import asyncio
from dataclasses import dataclass

import click

from runplane.cli.completing import RunArgument
from runplane.cli.duration import Duration
from runplane.cli.ending import FIRST_WAIT, ending_summary, until_ended
from runplane.cli.problem import Exit, exit_code_of, hint_of
from runplane.cli.receipt import receipt_page
from runplane.cli.run_table import run_table
from runplane.cli.run_words import ending_line
from runplane.cli.selector import parse_selector
from runplane.cli.session import talk
from runplane.cli.size import count
from runplane.cli.terminal import as_json as to_json
from runplane.cli.terminal import draw, say, write, write_json
from runplane.client import Client
from runplane.contract.errors import RunplaneError
from runplane.contract.run import Run, Status

AT_ONCE = 16
FULL_RECEIPTS = 3


@dataclass(frozen=True, kw_only=True)
class Order:
    """How to kill. ``timeout`` None: the run's grace and a minute more."""

    reason: str | None
    force: bool
    grace: float | None
    timeout: float | None


@dataclass(frozen=True, kw_only=True)
class Killed:
    """What became of one run: it has ended, or ``error`` says why not. ``was_open``: it had not ended before."""

    run_id: str
    run: Run | None = None
    command_id: str | None = None
    was_open: bool = True
    error: RunplaneError | None = None


@click.command(
    epilog="Examples: runplane kill run_0dcbc991c0d4 --reason stuck · "
    "runplane kill --selector workflow=lina,stuck=true --dry-run"
)
@click.argument("run_ids", metavar="RUN...", nargs=-1, type=RunArgument())
@click.option("--selector", metavar="K=V,…", help="Open runs by workflow, status, host, stuck.")
@click.option("--force", is_flag=True, help="No grace: the whole tree at once.")
@click.option("--grace", type=Duration(), metavar="10s", help="Instead of the workflow's own.")
@click.option("--reason", help="Why; it stands in the log and in the receipt.")
@click.option("--dry-run", is_flag=True, help="Only say which runs it would be.")
@click.option(
    "--timeout", type=Duration(), metavar="2m", help="How long to wait for the proof.  [default: grace + 60s]"
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document with the receipts.")
def kill(
    *,
    run_ids: tuple[str, ...],
    selector: str | None,
    force: bool,
    grace: float | None,
    reason: str | None,
    dry_run: bool,
    timeout: float | None,
    as_json: bool,
) -> int:
    """Kill runs and wait for proof. A run is `killed` when every process of it is gone, and not before."""
    if bool(run_ids) == bool(selector):
        raise click.UsageError("name the runs, or select them with --selector")
    chosen = parse_selector(selector) if selector else {}
    order = Order(reason=reason, force=force, grace=grace, timeout=timeout)

    async def work(client: Client) -> int:
        if dry_run:
            return await _dry_run(client, run_ids, chosen, as_json=as_json)
        if chosen:
            killed = await _kill_selected(client, chosen, order, is_quiet=as_json)
        else:
            killed = await _kill_named(client, tuple(dict.fromkeys(run_ids)), order, is_quiet=as_json)
        return _report(killed, is_single=len(run_ids) == 1, as_json=as_json)

    return talk(work)


async def _kill_named(
    client: Client, run_ids: tuple[str, ...], order: Order, *, is_quiet: bool
) -> list[Killed]:
    if len(run_ids) == 1:
        return [await _kill(client, run_ids[0], order, is_quiet=is_quiet)]
    free = asyncio.Semaphore(AT_ONCE)

    async def kill(run_id: str) -> Killed:
        async with free:
            try:
                return await _kill(client, run_id, order, is_quiet=is_quiet)
            except RunplaneError as error:
                return Killed(run_id=run_id, error=error)

    return list(await asyncio.gather(*(kill(run_id) for run_id in run_ids)))


async def _kill(client: Client, run_id: str, order: Order, *, is_quiet: bool) -> Killed:
    before = await client.get_run(run_id)
    answer = await client.kill_run(
        run_id, reason=order.reason, force=order.force, grace_seconds=order.grace, wait=FIRST_WAIT
    )
    ended = await until_ended(client, answer.run, timeout=order.timeout, is_quiet=is_quiet)
    return Killed(run_id=run_id, run=ended, command_id=answer.command_id, was_open=not before.status.ended)


async def _kill_selected(
    client: Client, selector: dict[str, str | bool], order: Order, *, is_quiet: bool
) -> list[Killed]:
    bulk = await client.kill_runs(selector, reason=order.reason, force=order.force, grace_seconds=order.grace)
    if bulk.truncated:
        say(f"more runs match than one order kills: repeat it for the rest after these {bulk.matched}")
    free = asyncio.Semaphore(AT_ONCE)

    async def proof(run_id: str, command_id: str | None) -> Killed:
        async with free:
            try:
                run = await client.get_run(run_id)
                ended = await until_ended(client, run, timeout=order.timeout, is_quiet=is_quiet)
            except RunplaneError as error:
                return Killed(run_id=run_id, command_id=command_id, error=error)
            return Killed(run_id=run_id, command_id=command_id, run=ended)

    refused = [
        Killed(
            run_id=item.run_id, error=RunplaneError(item.message or "refused", code=item.code or "refused")
        )
        for item in bulk.results
        if item.result == "refused"
    ]
    proofs = [proof(item.run_id, item.command_id) for item in bulk.results if item.result != "refused"]
    return [*await asyncio.gather(*proofs), *refused]


def _report(killed: list[Killed], *, is_single: bool, as_json: bool) -> int:
    if as_json:
        results = [_document(one) for one in killed]
        write_json(results[0] if is_single else {"results": results})
    elif not killed:
        say("no open run matches")
    else:
        _print(killed)
    failed = {exit_code_of(one.error) for one in killed if one.error is not None}
    if len(failed) > 1:
        return Exit.FAILED
    return failed.pop() if failed else Exit.DONE


def _print(killed: list[Killed]) -> None:
    ended = [one.run for one in killed if one.run is not None and one.was_open]
    for one in killed:
        if one.run is not None and not one.was_open:
            write(f"{one.run_id} had already ended as {one.run.status}: there was nothing to kill\n")
    for number, run in enumerate(ended):
        if len(ended) > FULL_RECEIPTS:
            write(f"{ending_summary(run)}\n")
            continue
        if number:
            write("\n")
        if run.kill_receipt is None and run.status is not Status.CANCELED:
            write(f"{ending_line(run)}; it ended by itself before the kill took effect\n")
        else:
            draw(receipt_page(run))
    for one in killed:
        if one.error is not None:
            say(f"runplane: {one.run_id}: {one.error.message}")
            if hint_of(one.error):
                say(f"  {hint_of(one.error)}")
    if len(killed) > 1:
        failed = sum(one.error is not None for one in killed)
        say(f"{count(len(killed) - failed, 'run')} gone" + (f", {failed} not" if failed else ""))


def _document(one: Killed) -> dict[str, object]:
    """``confirmed``: nothing of the run is left, or there never was anything."""
    run, error = one.run, one.error
    proved = run is not None and (run.kill_receipt is None or run.kill_receipt.verified)
    return {
        "run_id": one.run_id,
        "status": str(run.status) if run is not None else None,
        "confirmed": run is not None and run.status.ended and run.status is not Status.LOST and proved,
        "command_id": one.command_id,
        "kill_receipt": to_json(run.kill_receipt) if run is not None else None,
        "run": to_json(run),
        **({"error": {"code": error.error_code, "message": error.message}} if error is not None else {}),
    }


async def _dry_run(
    client: Client, run_ids: tuple[str, ...], selector: dict[str, str | bool], *, as_json: bool
) -> int:
    if selector:
        bulk = await client.kill_runs(selector, dry_run=True)
        run_ids = tuple(item.run_id for item in bulk.results)
    free = asyncio.Semaphore(AT_ONCE)

    async def look(run_id: str) -> Run:
        async with free:
            return await client.get_run(run_id)

    runs = await asyncio.gather(*(look(run_id) for run_id in run_ids))
    matched = [run for run in runs if not run.status.ended]
    if as_json:
        shown = [
            {"run_id": run.run_id, "workflow": run.workflow, "status": str(run.status), "host": run.host}
            for run in matched
        ]
        write_json({"dry_run": True, "results": shown})
        return Exit.DONE
    if matched:
        draw(run_table(matched))
    say(f"{count(len(matched), 'run')} would be killed")
    return Exit.DONE
