"""What a run prints, as it prints it: its last part first, text only, bounded on both sides.

The browser keeps the lines (``run.js``); here is no more than what is on its way.
"""

import asyncio
from collections import deque

from nicegui import ui

from control_plane.context import Context
from control_plane.dashboard.following import call, follow
from control_plane.output import Chunk, OutputReader, Which

STRIDE_SECONDS = 0.25
MOST_CHARACTERS = 64_000
"""What is shown of one stride; of a run that prints more, the last part."""
FIRST_CHARACTERS = 200_000
MOST_BEHIND = 128
"""Pieces that may wait for this viewer; what is further behind is passed over."""
_FIRST_LOOK_BACK = 16
_LISTEN_SECONDS = 30.0
_DIRECTION = dict.fromkeys(
    map(ord, "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
)

Piece = tuple[int, str, str]
"""Attempt, stream, text."""


class OutputView:
    """Follows a run's output for one viewer."""

    def __init__(self, context: Context, run_id: str) -> None:
        """Build, and begin to follow."""
        self._bus = context.bus
        self._which = Which(run_id=run_id, attempt=None, stream=None)
        self._client = ui.context.client
        with ui.element("div").classes("rp-output-place"):
            tools = ui.element("div").classes("rp-tools").props('role=search aria-label="Output"')
            self._element = ui.element("div").classes("rp-output")
            self._element.props('role=log aria-label="Output of the run" tabindex=0 aria-live=off')
            number = self._element.id
            down = (
                ui.element("button").classes("rp-follow").props(f"id=rp-follow-{number} type=button hidden")
            )
            down.on("click", js_handler=f"() => rp.outputFollow({number})")
        with tools:
            _tools(number)
        follow(f"output of {run_id}", self._follow)

    def shown(self) -> None:
        """The viewer has come back to it: show the end."""
        call(self._client, "outputShown", self._element.id)

    async def _follow(self) -> None:
        """Show the last part of what is stored, then what comes; of a run that prints faster than it can be shown,
        the last part again and again.
        """
        call(self._client, "outputBegins", self._element.id)
        call(self._client, "outputWatch", self._element.id)
        async with OutputReader(self._bus, self._which) as reader:
            last = await reader.last()
        back = _FIRST_LOOK_BACK
        while True:
            async with OutputReader(self._bus, self._which, after=max(0, last - back)) as reader:
                part = _LastPart(FIRST_CHARACTERS)
                async for chunk in reader.stored(last):
                    part.add(chunk)
                if last > back and part.size < FIRST_CHARACTERS // 4:
                    back *= 8  # other runs print too: look further back for this one
                    continue
                self._show(part, some_left_out=last > back)
                while reader.behind <= MOST_BEHIND:
                    await self._stride(reader)
                last, back = await reader.last(), _FIRST_LOOK_BACK

    async def _stride(self, reader: OutputReader) -> None:
        """Show what comes in one stride: a run that prints without pause is not shown line by line."""
        part = _LastPart(MOST_CHARACTERS)
        for chunk in await reader.next(_LISTEN_SECONDS):
            part.add(chunk)
        loop = asyncio.get_running_loop()
        until = loop.time() + STRIDE_SECONDS
        while part.pieces and (left := until - loop.time()) > 0:
            for chunk in await reader.next(left):
                part.add(chunk)
        self._show(part)

    def _show(self, part: "_LastPart", *, some_left_out: bool = False) -> None:
        pieces = part.take()
        if pieces:
            call(self._client, "outputMore", self._element.id, pieces, some_left_out or part.skipped > 0)


def _tools(number: int) -> None:
    """To look for something in what is shown, to narrow it to one stream, to copy it. The browser does it all."""
    sought = ui.element("input").classes("rp-narrow rp-search-output")
    sought.props(
        'type=search placeholder="Search the output" aria-label="Search the output" autocomplete=off'
    )
    sought.on("input", js_handler=f"event => rp.outputSearch({number}, {{ text: event.target.value }})")
    sought.on(
        "keydown.enter.prevent", js_handler=f"event => rp.outputStep({number}, event.shiftKey ? -1 : 1)"
    )
    ui.element("span").classes("rp-soft rp-found").props(f"id=rp-found-{number} role=status")
    for text, label, by in (("↑", "Previous", -1), ("↓", "Next", 1)):
        _button(text, f"() => rp.outputStep({number}, {by})").props(f'aria-label="{label}"')
    with ui.element("label").classes("rp-soft rp-check"):
        exact = ui.element("input").props("type=checkbox")
        exact.on(
            "change", js_handler=f"event => rp.outputSearch({number}, {{ exact: event.target.checked }})"
        )
        ui.label("Match case")
    chosen = ui.element("select").classes("rp-narrow").props('aria-label="Streams"')
    with chosen:
        for value, text in (("", "stdout and stderr"), ("stdout", "stdout"), ("stderr", "stderr")):
            with ui.element("option").props(f'value="{value}"'):
                ui.label(text)
    chosen.on("change", js_handler=f"event => rp.outputStreams({number}, event.target.value)")
    _button("Copy", f"event => rp.outputCopy({number}, event.currentTarget)")


def _button(text: str, handler: str) -> ui.element:
    with ui.element("button").classes("rp-small").props("type=button") as button:
        ui.label(text)
    button.on("click", js_handler=handler)
    return button


class _LastPart:
    """The last ``most`` characters of what goes by; ``skipped`` counts those before them."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.size = 0
        self.skipped = 0
        self.pieces: deque[Piece] = deque()

    def add(self, chunk: Chunk) -> None:
        """Let a chunk go by; marks that turn the reading direction are taken out."""
        text = chunk.item.text.translate(_DIRECTION)
        if not text:
            return
        self.pieces.append((chunk.item.attempt, chunk.item.stream, text))
        self.size += len(text)
        while self.size - len(self.pieces[0][2]) >= self._most:
            self._drop(len(self.pieces.popleft()[2]))

    def take(self) -> list[Piece]:
        """The last part, the first piece cut to where it begins."""
        surplus = self.size - self._most
        if surplus > 0:
            attempt, stream, text = self.pieces.popleft()
            self.pieces.appendleft((attempt, stream, text[surplus:]))
            self._drop(surplus)
        return list(self.pieces)

    def _drop(self, characters: int) -> None:
        self.size -= characters
        self.skipped += characters
