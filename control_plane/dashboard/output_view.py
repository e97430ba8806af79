"""What a run prints, as it prints it: text only, control sequences taken out, bounded."""

import asyncio
import codecs

from nicegui import background_tasks, ui

from control_plane.context import Context
from runplane.contract.subjects import run_output
from runplane.contract.text import without_control_sequences

MOST_LINES = 2_000
_MOST_AT_ONCE = 400_000


class OutputView:
    """Follows a run's output for one viewer, and stops when the viewer has gone."""

    def __init__(self, context: Context, run_id: str) -> None:
        """Build, and begin to follow."""
        self._context = context
        self._run_id = run_id
        self._log = ui.log(max_lines=MOST_LINES).classes("rp-output")
        self._decoders: dict[str, codecs.IncrementalDecoder] = {}
        self._rest: dict[str, str] = {}
        self._client = ui.context.client
        self._task = background_tasks.create(self._follow(), name=f"output of {run_id}")
        self._client.on_delete(self._task.cancel)

    async def _follow(self) -> None:
        async with self._context.bus.read_output(run_output(self._run_id)) as reader:
            async for batch in reader:
                by_stream: dict[str, bytes] = {}
                for message in batch:
                    stream = message.subject.rsplit(".", 1)[-1]
                    by_stream[stream] = by_stream.get(stream, b"") + message.payload
                with self._client:
                    for stream, content in by_stream.items():
                        self._push(stream, content)
                await asyncio.sleep(
                    0.1
                )  # a run that prints without pause is shown in strides, not line by line

    def _push(self, stream: str, content: bytes) -> None:
        decoder = self._decoders.setdefault(stream, codecs.getincrementaldecoder("utf-8")("replace"))
        text = self._rest.get(stream, "") + decoder.decode(content)
        *lines, rest = without_control_sequences(text[-_MOST_AT_ONCE:]).split("\n")
        if len(rest) > _MOST_AT_ONCE // 10:
            lines, rest = [*lines, rest], ""
        self._rest[stream] = rest
        for line in lines[-MOST_LINES:]:
            self._log.push(
                line if stream == "stdout" else f"! {line}", classes="rp-red" if stream == "stderr" else None
            )
