"""Text that a run printed or a workflow chose: data, never something that acts on whoever shows it.

What is taken out: terminal escape sequences, control characters except newline and tab, and the marks that turn the
reading direction. A carriage return becomes a new line.
"""

import re

_ESCAPE_SEQUENCE = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]?|\x9b[0-?]*[ -/]*[@-~]?"  # colours, cursor movements
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"  # window titles, links
    r"|\x1b[ -/]*[0-~]?"  # every other escape
)
_CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 without tab and newline, DEL, C1
    r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"  # direction: text that reads otherwise than it is
)


def without_control_sequences(text: str) -> str:
    """The text without control sequences and control characters; lines stay lines."""
    lines = _ESCAPE_SEQUENCE.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROL.sub("", lines)
