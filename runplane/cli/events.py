"""``runplane events``: the audit log, one record a line."""

from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import dataclass
from datetime import datetime

import click

from runplane.cli.completing import HostArgument, RunArgument
from runplane.cli.duration import Moment
from runplane.cli.record_line import draw_record
from runplane.cli.session import talk
from runplane.cli.terminal import say, write_json
from runplane.client import Client, Record, RecordPage

PAGE = 1000
NEWEST = 100
MOST = 10_000


@click.command(
    epilog="Example: runplane events run_0dcbc991c0d4 · runplane events --actor operator --since 1h"
)
@click.argument("run_id", metavar="[RUN]", required=False, type=RunArgument())
@click.option("--follow", "-f", is_flag=True, help="Go on with what happens. Ctrl-C ends it.")
@click.option("--type", "type_", metavar="TYPE", help="Of this type alone, such as KillRun or RunKilled.")
@click.option("--actor", help="Asked for by this principal alone.")
@click.option("--host", type=HostArgument(), help="Of this host alone.")
@click.option("--since", type=Moment(), help="14:02, 2026-03-01T14:02Z, or 20m ago.")
@click.option("--until", type=Moment(), help="The same.")
@click.option("--since-seq", type=click.IntRange(min=0), help="After this log position.")
@click.option(
    "--limit",
    type=click.IntRange(1, MOST),
    help=f"At most so many.  [default: a run's whole story; of everything the newest {NEWEST}]",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document; with --follow one record a line.")
def events(
    *,
    run_id: str | None,
    follow: bool,
    type_: str | None,
    actor: str | None,
    host: str | None,
    since: datetime | None,
    until: datetime | None,
    since_seq: int | None,
    limit: int | None,
    as_json: bool,
) -> None:
    """Show what was asked for and what happened, in the order of the log; of one run or of everything."""
    if follow and until is not None:
        raise click.UsageError("--follow has no end: leave out --until")
    wanted = Wanted(
        run_id=run_id,
        type=type_,
        actor=actor,
        host=host,
        since=since,
        until=until,
        since_seq=since_seq,
        limit=limit,
    )

    async def work(client: Client) -> None:
        if run_id is not None:
            await client.get_run(run_id)  # an unknown run is an error, not an empty list
        if follow:
            async with aclosing(_followed(client, wanted)) as records:
                async for record in records:
                    _show(record, wanted, as_json=as_json)
        elif as_json:
            write_json({"items": [record async for record in _stored(client, wanted)]})
        else:
            number = 0
            async for record in _stored(client, wanted):
                number += 1
                _show(record, wanted, as_json=False)
            if not number:
                say("no record matches")

    with suppress(KeyboardInterrupt):
        talk(work)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which records; None means any."""

    run_id: str | None
    type: str | None
    actor: str | None
    host: str | None
    since: datetime | None
    until: datetime | None
    since_seq: int | None
    limit: int | None

    def matches(self, record: Record) -> bool:
        """Whether a record of the live stream, which the stream chose by run and type, is one of them."""
        is_actor = self.actor is None or record.actor.principal == self.actor
        return is_actor and (self.host is None or f".host.{self.host}." in record.subject)


def _show(record: Record, wanted: Wanted, *, as_json: bool) -> None:
    if as_json:
        write_json(record)
    else:
        draw_record(record, with_run=wanted.run_id is None)


async def _followed(client: Client, wanted: Wanted) -> AsyncGenerator[Record]:
    """What is stored, then what happens, without a gap between the two."""
    last = wanted.since_seq
    async for record in _stored(client, wanted):
        last = record.seq
        yield record
    types = [wanted.type] if wanted.type else ()
    async with aclosing(client.stream(run_id=wanted.run_id, types=types, after_seq=last)) as changes:
        async for change in changes:
            if change.missed:
                say(
                    f"{change.missed} records came too fast and were left out: `runplane events` has them all"
                )
            elif change.record is not None and wanted.matches(change.record):
                yield change.record


async def _stored(client: Client, wanted: Wanted) -> AsyncGenerator[Record]:
    """Page by page; of everything the newest alone, unless it is said where to begin."""
    begins = wanted.since_seq is not None or wanted.since is not None
    is_whole_story = wanted.run_id is not None and wanted.limit is None
    if not begins and not is_whole_story:
        for record in (await _page(client, wanted, None, wanted.limit or NEWEST)).items:
            yield record
        return
    since_seq, left = wanted.since_seq or 0, wanted.limit
    while left is None or left > 0:
        page = await _page(client, wanted, since_seq, PAGE if left is None else min(PAGE, left))
        for record in page.items:
            yield record
        if page.next_since_seq is None:
            return
        since_seq = page.next_since_seq
        left = None if left is None else left - len(page.items)


async def _page(client: Client, wanted: Wanted, since_seq: int | None, limit: int) -> RecordPage:
    return await client.events(
        run_id=wanted.run_id,
        type=wanted.type,
        actor=wanted.actor,
        host=wanted.host,
        since=wanted.since,
        until=wanted.until,
        since_seq=since_seq,
        limit=limit,
    )
