"""Takes out of a text what looks like a secret: for what is told of processes that nobody declared secrets of.

Pure, and bounded in time: every repetition within a form has an end. It knows how credentials stand in command lines,
URLs, headers and log lines, and the marks of common kinds of keys. What it cannot know, a value that
looks like any other word, is for ``secret:NAME`` to hide.
"""

import re
from collections.abc import Callable

MASK = "•••"
_NAMED = r"(?:password|passwd|passphrase|secret|credential|(?:api|access|private)[-_]?key|token)"
_WORD = r"[\w.-]{0,60}"
_FORMS: tuple[tuple[re.Pattern[str], str], ...] = (
    # Authorization: Bearer abc; also "authorization=abc".
    (
        re.compile(
            r"(?i)(\bauthorization['\"]?\s{0,4}[:=]\s{0,4}['\"]?(?:(?:bearer|basic|token|digest)\s{1,4})?)[^\s'\",]+"
        ),
        r"\1",
    ),
    (re.compile(r"(?i)(\bbearer\s{1,4})[\w.~+/=-]{8,}"), r"\1"),
    # --api-key abc, -token abc
    (re.compile(rf"(?i)((?<!\S)--?[\w-]{{0,60}}{_NAMED}[\w-]{{0,60}}\s{{1,4}})(?!-)\S+"), r"\1"),
    # API_KEY=abc, "password": "abc", ?token=abc; a count of tokens is none.
    (
        re.compile(
            rf"(?i)({_NAMED}{_WORD}['\"]?\s{{0,4}}[=:]\s{{0,4}}['\"]?)(?!\d{{1,9}}(?:[\s,;.)}}]|$))[^\s'\"&,;)}}]+"
        ),
        r"\1",
    ),
    # scheme://user:abc@host
    (re.compile(r"(://[^\s/:@]{0,200}:)[^\s/@]{1,500}(?=@)"), r"\1"),
    (re.compile(r"\b[spr]k[-_][\w-]{16,}"), ""),
    (re.compile(r"\b(?:gh[pousr]_|github_pat_|glpat-|xox[abeprs]-|lin_api_|whsec_|hf_|npm_|pypi-)[\w-]{10,}"), ""),
    (re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bAIza[\w-]{30,}"), ""),
    (re.compile(r"\beyJ[\w-]{8,1000}\.[\w-]{8,4000}\.[\w-]*"), ""),
    (re.compile(r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|$)"), ""),
)  # fmt: skip


def redacted(text: str) -> str:
    """The text with :data:`MASK` in the place of what looks like a secret."""
    for pattern, kept in _FORMS:
        text = pattern.sub(kept + MASK, text)
    return text


def also_redacted(mask: Callable[[str], str]) -> Callable[[str], str]:
    """A function that takes out the secrets that are known, and then those that look like one."""
    return lambda text: redacted(mask(text))
