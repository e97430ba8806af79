"""``runplane replay``: a run as it was. The control plane folds the log up to there; nothing is guessed here."""

import asyncio
import json
from datetime import datetime
from typing import Any

import click

from runplane.cli.completing import RunArgument
from runplane.cli.difference import differences
from runplane.cli.duration import parse_moment
from runplane.cli.record_line import draw_record
from runplane.cli.run_page import run_page
from runplane.cli.run_words import status_text
from runplane.cli.session import talk
from runplane.cli.terminal import as_json as to_json
from runplane.cli.terminal import draw, one_line, say, write, write_json
from runplane.client import Client, Record
from runplane.contract.errors import NotFound
from runplane.contract.run import Run

AT_ONCE = 8
PAGE = 1000
_NEVER_MOVE_THE_STATUS = frozenset(
    {"ProgressReported", "StepStarted", "StepCompleted", "StepFailed", "ReportSetAside"}
)


class Position(click.ParamType[int | datetime]):
    """A log position, or a time."""

    name = "seq|time"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | datetime:
        """A number is a log position; anything else a time."""
        text = str(value).strip()
        if text.isdigit():
            return int(text)
        try:
            return parse_moment(text, datetime.now().astimezone())
        except ValueError as error:
            self.fail(f"{error}; or give a log position, such as 1042", param, ctx)


@click.command(epilog="Example: runplane replay run_0dcbc991c0d4 --at 14:02:11")
@click.argument("run_id", metavar="RUN", type=RunArgument())
@click.option("--at", type=Position(), metavar="SEQ|TIME", help="The run as it was there.")
@click.option("--diff", nargs=2, type=Position(), metavar="SEQ SEQ", help="What changed between the two.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document; the story is one object a line.")
def replay(
    *,
    run_id: str,
    at: int | datetime | None,
    diff: tuple[int | datetime, int | datetime] | None,
    as_json: bool,
) -> None:
    """Show RUN as it was at a moment; without --at, its whole story with the status after each record."""
    if at is not None and diff:
        raise click.UsageError("give --at or --diff, not both")

    async def work(client: Client) -> None:
        if diff:
            await _show_difference(client, run_id, *diff, as_json=as_json)
        elif at is not None:
            run = await _run_at(client, run_id, at)
            write_json(run) if as_json else draw(run_page(run, await _moment_of(client, run_id, at)))
        else:
            await _tell(client, run_id, as_json=as_json)

    talk(work)


async def _run_at(client: Client, run_id: str, at: int | datetime) -> Run:
    if isinstance(at, int):
        return await client.get_run(run_id, at_seq=at)
    return await client.get_run(run_id, at=at)


async def _moment_of(client: Client, run_id: str, at: int | datetime) -> datetime | None:
    """When it was: the time of the last record that the shown run reflects."""
    if isinstance(at, datetime):
        return at
    page = await client.run_events(run_id, limit=PAGE)
    times = [record.time for record in page.items if record.seq <= at]
    return times[-1] if times and (page.next_since_seq is None or page.next_since_seq >= at) else None


async def _tell(client: Client, run_id: str, *, as_json: bool) -> None:
    """The story, line by line. Status is asked for where a record can have moved it."""
    await client.get_run(run_id)
    free = asyncio.Semaphore(AT_ONCE)

    async def after(record: Record) -> Run | None:
        if record.type in _NEVER_MOVE_THE_STATUS:
            return None
        async with free:
            try:
                return await client.get_run(run_id, at_seq=record.seq)
            except NotFound:
                return None

    since, run = 0, None
    while True:
        page = await client.run_events(run_id, since_seq=since or None, limit=PAGE)
        asked = await asyncio.gather(*(after(record) for record in page.items))
        for record, seen in zip(page.items, asked, strict=True):
            run = seen or run
            _show(record, run, as_json=as_json)
        if page.next_since_seq is None or not page.items:
            return
        since = page.next_since_seq


def _show(record: Record, run: Run | None, *, as_json: bool) -> None:
    if as_json:
        write_json({**to_json(record), "status": str(run.status) if run is not None else None})
        return
    from rich.text import Text

    line = status_text(run) if run is not None else Text("-")
    line.pad_right(max(0, 14 - len(line)))
    draw_record(record, with_run=False, before=line)


async def _show_difference(
    client: Client, run_id: str, before: int | datetime, after: int | datetime, *, as_json: bool
) -> None:
    old, new = await asyncio.gather(_run_at(client, run_id, before), _run_at(client, run_id, after))
    found = list(differences(to_json(old), to_json(new)))
    if as_json:
        write_json(
            {"from_seq": old.seq, "to_seq": new.seq, "changes": [change._asdict() for change in found]}
        )
        return
    for change in found:
        write(f"{change.field}: {_short(change.before)} -> {_short(change.after)}\n")
    if not found:
        say(f"nothing of {run_id} differs between the two")


def _short(value: Any) -> str:
    return "nothing" if value is None else one_line(json.dumps(value), 200)
