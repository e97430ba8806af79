"""Following a run to its end: its output and how far it is, in whatever form the reader wants."""

import asyncio
from collections.abc import Iterator
from contextlib import aclosing, contextmanager, suppress
from typing import Protocol

from runplane.cli.output_printer import OutputPrinter
from runplane.cli.run_words import stuck_of
from runplane.cli.terminal import as_json, console, one_line, say, write, write_json
from runplane.cli.waiting import has_ended, wait_until
from runplane.client import Client, OutputItem
from runplane.contract.run import Run

LAST_OUTPUT_WITHIN = 15.0


class View(Protocol):
    """What is done with what happens."""

    def output(self, item: OutputItem) -> None:
        """A piece of output."""

    def changed(self, run: Run) -> None:
        """The run as it stands now."""

    def finish(self) -> None:
        """Nothing more comes."""


async def follow(client: Client, run: Run, view: View) -> Run:
    """The run as it ended, after all of its output."""

    async def output() -> None:
        async with aclosing(client.follow_logs(run.run_id)) as items:
            async for item in items:
                view.output(item)

    reading = asyncio.create_task(output())
    try:
        view.changed(run)
        ended = await wait_until(client, run, has_ended, limit=None, on_change=view.changed)
        with suppress(TimeoutError):
            await asyncio.wait_for(reading, LAST_OUTPUT_WITHIN)
        return ended
    finally:
        reading.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(reading, return_exceptions=True)
        view.finish()


class JsonView:
    """One JSON object a line: ``event`` is ``output``, ``progress``, ``status`` or ``stuck``."""

    def __init__(self) -> None:
        """Nothing was told yet."""
        self._told: dict[str, object] = {}

    def output(self, item: OutputItem) -> None:
        """``{"event": "output", "stream": …, "text": …}``."""
        write_json({"event": "output", **as_json(item)})

    def changed(self, run: Run) -> None:
        """What is new of the run."""
        self._tell("status", str(run.status), run)
        self._tell("progress", as_json(run.progress), run)
        self._tell("stuck", as_json(stuck_of(run)), run)

    def finish(self) -> None:
        """Every line stands by itself."""

    def _tell(self, name: str, value: object, run: Run) -> None:
        if self._told.get(name) == value:
            return
        self._told[name] = value
        write_json({"event": name, "run_id": run.run_id, "seq": run.seq, name: value})


class PlainView:
    """Output on standard output; being stuck on standard error. For pipes."""

    def __init__(self) -> None:
        """Decide by standard output."""
        self._on_terminal = console().is_terminal
        self._printer = OutputPrinter(self._write, on_terminal=self._on_terminal)
        self._stuck = ""

    def output(self, item: OutputItem) -> None:
        """As it is in a pipe, cleaned on a terminal."""
        self._printer.take(item)

    def changed(self, run: Run) -> None:
        """Say when it seems stuck, once a verdict."""
        stuck = stuck_of(run)
        verdict = f"{stuck.verdict}: {one_line(stuck.detail)}" if stuck is not None else ""
        if verdict and verdict != self._stuck:
            say(f"{run.run_id} looks stuck, {verdict}")
        self._stuck = verdict

    def finish(self) -> None:
        """End the last line."""
        self._printer.finish()

    def _write(self, text: str) -> None:
        write(text)


class ProgressView(PlainView):
    """The same, and a progress bar below the output. For terminals; used inside ``shown``."""

    @contextmanager
    def shown(self, run: Run) -> Iterator["ProgressView"]:
        """Draw the bar on standard error for as long as the block lasts."""
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
        from rich.table import Column

        with Progress(
            TextColumn("{task.fields[status]}", style="bold", markup=False),
            BarColumn(bar_width=None, table_column=Column(min_width=12, max_width=30, ratio=1)),
            TextColumn("{task.fields[figure]}", markup=False, table_column=Column(no_wrap=True)),
            TimeElapsedColumn(),
            TextColumn(
                "{task.fields[message]}",
                style="dim",
                markup=False,
                table_column=Column(no_wrap=True, overflow="ellipsis", ratio=2),
            ),
            console=console(err=True),
            expand=True,
            transient=True,
            redirect_stdout=False,
        ) as bar:
            self._bar = bar
            self._task = bar.add_task("", total=None, status=str(run.status), figure="", message="")
            yield self

    def changed(self, run: Run) -> None:
        """Move the bar."""
        super().changed(run)
        progress = run.progress
        done = progress.done if progress is not None else None
        total = progress.total if progress is not None else None
        figure = "" if done is None else f"{done:g}" + (f"/{total:g}" if total else "")
        message = one_line(progress.message, 60) if progress is not None and progress.message else ""
        if not message and run.step is not None:
            message = one_line(run.step.name, 60)
        status = f"{run.status} stuck" if stuck_of(run) is not None else str(run.status)
        self._bar.update(
            self._task, completed=done or 0, total=total, status=status, figure=figure, message=message
        )

    def _write(self, text: str) -> None:
        if self._on_terminal:
            self._bar.console.print(text.removesuffix("\n"), soft_wrap=True)
        else:
            write(text)
