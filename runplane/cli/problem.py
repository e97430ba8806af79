"""How a verb fails: a sentence on standard error, a hint what to type next, an exit code.

A verb raises ``Problem``, or lets an error of ``runplane.contract.errors`` pass; ``main`` prints and exits. Codes:
0 done · 1 failed · 2 usage · 3 not found · 4 conflict · 5 control plane unreachable · 6 not allowed.
"""

from enum import IntEnum

from runplane.contract.errors import (
    Conflict,
    InvalidInput,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    RunplaneError,
    Unavailable,
)


class Exit(IntEnum):
    """What the shell learns."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    CONFLICT = 4
    UNREACHABLE = 5
    NOT_ALLOWED = 6


class Problem(RunplaneError):
    """A verb could not do what it was asked; ``hint`` says what to type next."""

    def __init__(
        self, message: str, *, hint: str = "", exit_code: Exit = Exit.FAILED, code: str = ""
    ) -> None:
        """Keep what is said, what may help and how to exit; ``code`` is stable and meant for programs."""
        super().__init__(message, code=code or exit_code.name.lower())
        self.hint = hint
        self.exit_code = exit_code


_EXITS: tuple[tuple[type[RunplaneError], Exit], ...] = (
    (InvalidInput, Exit.USAGE),
    (NotFound, Exit.NOT_FOUND),
    (Conflict, Exit.CONFLICT),
    (Unavailable, Exit.UNREACHABLE),
    (NotAllowed, Exit.NOT_ALLOWED),
    (NotAuthenticated, Exit.NOT_ALLOWED),
)

_HINTS = {
    Exit.UNREACHABLE: "start it with `runplane up`, or say where it is with RUNPLANE_URL and RUNPLANE_TOKEN",
    Exit.NOT_ALLOWED: "check RUNPLANE_TOKEN and the role it was created with",
}


def exit_code_of(error: RunplaneError) -> Exit:
    """The exit code an error stands for."""
    if isinstance(error, Problem):
        return error.exit_code
    return next((code for kind, code in _EXITS if isinstance(error, kind)), Exit.FAILED)


def hint_of(error: RunplaneError) -> str:
    """What to type next, or an empty string where the message already says it."""
    if isinstance(error, Problem):
        return error.hint
    return "" if "`runplane up`" in error.message else _HINTS.get(exit_code_of(error), "")
