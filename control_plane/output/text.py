"""Output as text: what a program printed, made safe to show.

Bytes are decoded as UTF-8, bad ones replaced; a character or a control sequence that is cut in two by the end of a
chunk is put together again. Control sequences of terminals are left out: output must not move anybody's cursor, change
a title or hide a line. Tab, line feed and carriage return stay.
"""

import codecs
import re

_SEQUENCE = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI
    r"|\x1b[\]PX^_][^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"  # OSC, DCS and their kind, with their text
    r"|\x9b[0-?]*[ -/]*[@-~]"  # CSI in one byte
    r"|\x1b[ -/]*[0-~]"
    r"|[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f]"
)
_UNFINISHED = re.compile(
    r"(?:\x1b(?:\[[0-?]*[ -/]*|[\]PX^_][^\x07\x1b\x9c]*\x1b?|[ -/]*)|\x9b[0-?]*[ -/]*)\Z"
)
_LONGEST_SEQUENCE = 4096


class OutputText:
    """One stream of one attempt."""

    def __init__(self) -> None:
        """Begin anywhere in the stream."""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""

    def take(self, chunk: bytes, *, final: bool = False) -> str:
        """The text of a chunk, without what is not complete yet."""
        text = self._held + self._decoder.decode(chunk, final)
        self._held = ""
        if not final:
            cut = _UNFINISHED.search(text[-_LONGEST_SEQUENCE:])
            if cut is not None:
                start = len(text) - len(cut[0])
                text, self._held = text[:start], text[start:]
        return _SEQUENCE.sub("", text).replace("\x1b", "")
