"""``runplane ps --watch`` without a terminal: lines for a pipe, JSON objects for programs; and what feeds every form.

Fed by the stream of what happens, from the log position of the first list on, so that nothing is missed and nobody is
asked again and again. A control plane that is away for long ends it with the error.
"""

import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import NoReturn

from runplane.cli.terminal import write, write_json
from runplane.cli.watch_screen import plain_line
from runplane.cli.watched_runs import Wanted, WatchedRuns
from runplane.client import Client, RunPage
from runplane.contract.errors import Unavailable
from runplane.contract.run import Run

PAGE = 200


@dataclass(frozen=True, kw_only=True)
class Watch:
    """What is watched, by which client."""

    client: Client
    wanted: Wanted
    limit: int

    async def begin(self) -> tuple[list[Run], int]:
        """The runs as they stand, and the log position of that."""
        page = await self.page(min(PAGE, self.limit))
        position = self.client.position
        runs, cursor = list(page.items), page.next_cursor
        while cursor is not None and len(runs) < self.limit:
            page = await self.page(min(PAGE, self.limit - len(runs)), cursor)
            runs += page.items
            cursor = page.next_cursor
        return runs, position

    async def page(self, limit: int, cursor: str | None = None) -> RunPage:
        """One page of the list."""
        return await self.client.list_runs(
            status=sorted(self.wanted.statuses),
            workflow=self.wanted.workflow,
            host=self.wanted.host,
            stuck=self.wanted.stuck or None,
            limit=limit,
            cursor=cursor,
        )

    async def follow(self, position: int, changed: Callable[[Run], None]) -> NoReturn:
        """Tell of every run as it changes; raises Unavailable when the control plane is away for long."""
        async with aclosing(self.client.stream(after_seq=position)) as changes:
            async for change in changes:
                if change.run is not None:
                    changed(change.run)
        raise Unavailable("the stream ended: is the control plane being stopped?")


async def print_changes(watch: Watch, *, as_json: bool) -> None:
    """Every run once, and again whenever a record changed it; one that no longer matches a last time."""
    runs, position = await watch.begin()
    watched = WatchedRuns(watch.wanted, watch.limit)
    told: dict[str, str] = {}

    def tell(run: Run) -> None:
        if as_json:
            write_json(run)
            return
        line = plain_line(run)
        if told.get(run.run_id) != line:
            told[run.run_id] = line
            write(f"{datetime.now().astimezone():%H:%M:%S}  {line}\n")
        if run.status.ended:
            told.pop(run.run_id, None)

    def changed(run: Run) -> None:
        watched.expire(time.monotonic())
        if watched.take(run, time.monotonic()):
            tell(run)

    for run in runs:
        watched.take(run, time.monotonic())
        tell(run)
    await watch.follow(position, changed)
