"""Output that repeats itself: the same lines again and again, or the same words of failure with other numbers.

Pure. Rules: times of day are no difference, for every log has them. Lines whose numbers alone change are a loop only
when they speak of trying in vain: a heartbeat that counts is work. Memory is bounded by the longest period looked for.
"""

import codecs
import re
from collections import deque
from dataclasses import dataclass

LONGEST_PERIOD = 32
_LONGEST_LINE = 400
_ESCAPES = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_TIMES = re.compile(
    r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?)?|\d{1,2}:\d\d:\d\d(?:[.,]\d+)?"
    r"|\b1[5-9]\d{8}(?:\.\d+)?\b"
)
_WORDS = re.compile(r"[^\W\d_]")
_NUMBERS = re.compile(
    r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|\w*\d\w*(?:[.,-]\w*\d\w*)*", re.IGNORECASE
)
"""Ids are numbers too: whatever has a digit in it."""
_IN_VAIN = re.compile(
    r"\bretr(?:y|ying|ies)\b|\btry(?:ing)? again\b|\bre-?try|\brefused\b|\btimed? ?out\b|\btimeout\b|\bunavailable\b"
    r"|\bunreachable\b|\breconnect|\bback(?:ing)? ?-?off\b|\brate.?limit|\bwaiting for\b|\bstill waiting\b"
    r"|\bnot ready\b|\bdenied\b|\bno (?:answer|response|reply)\b|\berror[:!]|\bexception\b|\b(?:429|50[0234])\b"
    r"|(?<!\b0 )\bfailed\b(?! ?[:=]? ?0\b)|\bcould not\b|\bcan(?:no|')t\b|\battempt\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Repeat:
    """``period`` in lines; ``cycles``: how often it came; ``since``: when it began, by the clock that was handed in."""

    period: int
    cycles: int
    since: float
    is_exact: bool
    sample: str


class _Runs:
    """For each period, how many lines in a row were the same as that many lines before."""

    def __init__(self) -> None:
        self.lines: deque[str] = deque(maxlen=LONGEST_PERIOD)
        self.lengths = [0] * (LONGEST_PERIOD + 1)
        self.began = [0.0] * (LONGEST_PERIOD + 1)

    def add(self, line: str, at: float) -> None:
        for period in range(1, len(self.lines) + 1):
            if self.lines[-period] == line:
                if self.lengths[period] == 0:
                    self.began[period] = at
                self.lengths[period] += 1
            else:
                self.lengths[period] = 0
        self.lines.append(line)

    def longest(self) -> tuple[int, int]:
        """The shortest period that has the most lines behind it, and how many cycles that is."""
        best, cycles = 0, 0
        for period in range(1, LONGEST_PERIOD + 1):
            lines = self.lengths[period]
            if lines >= period and (best == 0 or lines > self.lengths[best] + best):
                best, cycles = period, lines // period + 1
        return best, cycles


class Repetition:
    """Of one stream; :meth:`feed` it what is written."""

    def __init__(self) -> None:
        """Nothing was written yet."""
        self._exact = _Runs()
        self._alike = _Runs()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""
        self._last: deque[str] = deque(maxlen=LONGEST_PERIOD)

    def feed(self, content: bytes, at: float) -> None:
        """Bytes as they were written, up to ``at``."""
        text = self._rest + self._decoder.decode(content)
        *lines, self._rest = re.split(r"[\r\n]+", text)
        self._rest = self._rest[-_LONGEST_LINE:]
        for line in lines:
            shown = _ESCAPES.sub("", line).strip()[:_LONGEST_LINE]
            if not shown:
                continue
            # A line that is nothing but a time or a number says something new each time.
            timeless = _TIMES.sub("<time>", shown) if _WORDS.search(_TIMES.sub("", shown)) else shown
            self._last.append(shown)
            self._exact.add(timeless, at)
            self._alike.add(_NUMBERS.sub("#", timeless), at)

    def found(self) -> Repeat | None:
        """The repetition that the output ends with, if it is one that leads nowhere."""
        for runs, is_exact in ((self._exact, True), (self._alike, False)):
            period, cycles = runs.longest()
            if not period:
                continue
            unit = list(self._last)[-period:]
            if is_exact or any(_IN_VAIN.search(line) for line in unit):
                return Repeat(
                    period=period, cycles=cycles, since=runs.began[period], is_exact=is_exact, sample=unit[-1]
                )
        return None
