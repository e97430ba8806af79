"""Identifiers: their forms, and how they are made from entropy or from a cause.

Randomness is an argument (``entropy``), so that this module stays pure; an id derived from its cause is
the same however often it is derived, which is what makes a repeated command harmless.
"""

import hashlib
import re
from typing import Annotated

from pydantic import StringConstraints

RUN_ID_PATTERN = r"^run_[0-9a-f]{12}$"
HOST_ID_PATTERN = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
NAME_PATTERN = r"^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?$"

RunId = Annotated[str, StringConstraints(pattern=RUN_ID_PATTERN)]
HostId = Annotated[str, StringConstraints(pattern=HOST_ID_PATTERN)]
PoolName = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
WorkflowName = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
RecordId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]

_RUN_ID = re.compile(RUN_ID_PATTERN)
_HOST_ID = re.compile(HOST_ID_PATTERN)
_NAME = re.compile(NAME_PATTERN)


def run_id_from(entropy: bytes) -> str:
    """Make a run id from at least six random bytes."""
    return f"run_{entropy[:6].hex():0>12}"


def record_id_from(entropy: bytes) -> str:
    """Make a record id (32 lower-case hex digits) from at least 16 random bytes."""
    return f"{entropy[:16].hex():0>32}"


def derive_record_id(*cause: str) -> str:
    """Derive the record id that belongs to a cause: the same parts always give the same id."""
    return hashlib.sha256("\x1f".join(cause).encode()).hexdigest()[:32]


def derive_run_id(*cause: str) -> str:
    """Derive the run id that belongs to a cause (an idempotency key, say)."""
    return "run_" + hashlib.sha256("\x1f".join(("run", *cause)).encode()).hexdigest()[:12]


def is_run_id(text: str) -> bool:
    """Whether the text has the form of a run id."""
    return _RUN_ID.fullmatch(text) is not None


def is_host_id(text: str) -> bool:
    """Whether the text has the form of a host id."""
    return _HOST_ID.fullmatch(text) is not None


def is_name(text: str) -> bool:
    """Whether the text has the form of a workflow's or a pool's name."""
    return _NAME.fullmatch(text) is not None
