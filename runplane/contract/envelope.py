"""The envelope around every record of the log, with field names after CloudEvents 1.0.

``parse`` never trusts its input: whatever cannot be read raises :class:`Unreadable`, which says why, and
the reader sets that record aside and goes on. A type this version does not know is such a record too.
"""

import json
import math
from typing import Any, get_args

from pydantic import Field, SerializeAsAny, ValidationError, model_validator

from runplane.contract.commands import Command
from runplane.contract.errors import InvalidInput, RunplaneError
from runplane.contract.events import Event
from runplane.contract.ids import RecordId, is_run_id
from runplane.contract.run import Actor
from runplane.contract.value import Moment, Value

SCHEMA_VERSION = 1
MAX_RECORD_BYTES = 4 * 2**20
"""The largest record that is written; larger things go to the object store by digest."""
MAX_RECORD_DEPTH = 100
"""The deepest nesting that is read. Twice as much would be written, and could then not be read back."""

COMMAND_TYPES: dict[str, type[Value]] = {kind.__name__: kind for kind in get_args(Command)}
EVENT_TYPES: dict[str, type[Value]] = {kind.__name__: kind for kind in get_args(Event)}
TYPES: dict[str, type[Value]] = {**COMMAND_TYPES, **EVENT_TYPES}


class Unreadable(RunplaneError):
    """A record of the log cannot be read."""

    code = "unreadable_record"


class Envelope(Value):
    """One record of the log: a command or an event, and who, when and why."""

    id: RecordId
    type: str
    source: str
    subject: str
    time: Moment
    schema_version: int = SCHEMA_VERSION
    actor: Actor
    correlation_id: RecordId
    causation_id: RecordId | None = None
    command_id: RecordId | None = None
    attempt: int | None = None
    data: SerializeAsAny[Value] = Field(repr=True)

    @model_validator(mode="before")
    @classmethod
    def _data_by_type(cls, raw: Any) -> Any:
        """Read ``data`` by the class that ``type`` names."""
        if not isinstance(raw, dict) or isinstance(raw.get("data"), Value):
            return raw
        kind = TYPES.get(str(raw.get("type")))
        if kind is None:
            raise ValueError(f"type {str(raw.get('type'))[:80]!r} is not known to this version")
        # A newer writer may know more fields, also within the parts that a person writes strictly.
        return {**raw, "data": kind.model_validate(raw.get("data"), extra="ignore")}

    @property
    def run_id(self) -> str | None:
        """The run in whose story this record stands, by its subject; None for hosts and workflows."""
        last = self.subject.rsplit(".", 1)[-1]
        return last if is_run_id(last) else None

    @property
    def host(self) -> str | None:
        """The host on whose subject this record stands; None for pools and the plane."""
        match self.subject.split("."):
            case ["rp", "cmd" | "evt", "host", host, _]:
                return host
        return None

    @property
    def is_command(self) -> bool:
        """Whether this is an order rather than a fact."""
        return self.type in COMMAND_TYPES

    def encode(self) -> bytes:
        """The record as JSON bytes. An absent value is written as null: None may be what a field says.

        :class:`InvalidInput` for what :func:`parse` would not read back: it must never reach the log.
        """
        try:
            payload = self.model_dump_json().encode()
        except ValueError as error:  # text that is no Unicode, or nesting without end
            raise InvalidInput(f"{self.type} cannot be written as JSON: {str(error)[:200]}") from None
        if len(payload) > MAX_RECORD_BYTES:
            raise InvalidInput(
                f"{self.type} takes {len(payload)} bytes, at most {MAX_RECORD_BYTES} can be stored: shorten it"
            )
        if _brackets(payload) > MAX_RECORD_DEPTH and _is_too_deep(json.loads(payload)):
            raise InvalidInput(f"{self.type} is nested deeper than {MAX_RECORD_DEPTH}: flatten it")
        return payload


def parse(payload: bytes, subject: str | None = None) -> Envelope:
    """Read a record; raise :class:`Unreadable` for anything that is not one.

    With ``subject`` (where the broker stored it), a record that claims another place is refused as forged.
    """
    if len(payload) > 2 * MAX_RECORD_BYTES:
        raise Unreadable(f"record of {len(payload)} bytes is over the limit")
    try:
        envelope = Envelope.model_validate(_read_json(payload))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "record"
        raise Unreadable(f"{where[:200]}: {first['msg'][:200]}") from None
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"not JSON that can be read: {str(error)[:200]}") from None
    if envelope.schema_version > SCHEMA_VERSION:
        raise Unreadable(
            f"schema version {envelope.schema_version} is newer than {SCHEMA_VERSION}: update Runplane"
        )
    if subject is not None and envelope.subject != subject:
        raise Unreadable(
            f"the record says it belongs to {envelope.subject[:200]!r} but stands in {subject!r}"
        )
    if not envelope.subject.startswith("rp.cmd." if envelope.is_command else "rp.evt."):
        raise Unreadable(f"{envelope.type} does not belong to {envelope.subject[:200]!r}")
    return envelope


def _read_json(payload: bytes) -> Any:
    """Read JSON that can be written again: UTF-8, finite numbers, no lone surrogates, not too deep."""
    text = payload.decode()
    value = _JSON.decode(text)
    if "\\ud" in text or "\\uD" in text:
        json.dumps(value, ensure_ascii=False).encode()
    if _brackets(payload) > MAX_RECORD_DEPTH and _is_too_deep(value):
        raise ValueError(f"nested deeper than {MAX_RECORD_DEPTH}")
    return value


def _brackets(payload: bytes) -> int:
    """An upper bound on the depth that costs next to nothing."""
    return payload.count(b"[") + payload.count(b"{")


def _is_too_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_RECORD_DEPTH):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return any(isinstance(value, dict | list) for value in level)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits[:80]} is too large a number")
    return number


_JSON = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)
