"""Repeated requests: what makes a request with an idempotency key have one effect, whoever handles it, and when.

The ids of everything a keyed request stores are derived from principal and key, so that a repetition is found in
the log by its command id even after a restart. The correlation id is derived from the request as well: a record
with this key's command id and another correlation id shows that the key was used for something else.
"""

import hashlib
from dataclasses import dataclass

from pydantic import BaseModel

from runplane.contract.errors import InvalidInput
from runplane.contract.ids import derive_record_id, derive_run_id


@dataclass(frozen=True, kw_only=True, slots=True)
class Repeatable:
    """A request with an idempotency key, and all that is derived from it."""

    key: str
    digest: str
    command_id: str
    correlation_id: str
    run_id: str

    @classmethod
    def of(cls, principal: str, key: str, *content: str) -> "Repeatable":
        """Derive everything; ``content`` is what was asked, in a form that is the same for the same request."""
        digest = hashlib.sha256("\x1f".join(content).encode()).hexdigest()
        return cls(
            key=key,
            digest=digest,
            command_id=derive_record_id(principal, key),
            correlation_id=derive_record_id("request", principal, key, digest),
            run_id=derive_run_id(principal, key),
        )


def content_of(request: BaseModel) -> str:
    """A request as text that is equal for equal requests."""
    return request.model_dump_json(by_alias=True)


def key_reused(key: str) -> InvalidInput:
    """The key was used for another request."""
    return InvalidInput(
        f"Idempotency-Key {key[:80]!r} was already used for another request: use a new key for a new request",
        code="idempotency_key_reused",
        errors=[
            {"field": "Idempotency-Key", "value": key[:80], "message": "already used for another request"}
        ],
    )
