"""Records of the log as JSON: the stored envelope with its log position."""

import json
from collections.abc import Sequence

from starlette.responses import Response

from runplane.contract.envelope import Envelope
from runplane.contract.run import Run


def record_json(seq: int, envelope: Envelope) -> str:
    """One record: the envelope's own JSON with ``seq`` before it."""
    return f'{{"seq":{seq},{envelope.model_dump_json(by_alias=True)[1:]}'


def records_answer(records: Sequence[tuple[int, Envelope]], *, next_since_seq: int | None) -> Response:
    """A list of records."""
    items = ",".join(record_json(seq, envelope) for seq, envelope in records)
    following = json.dumps(next_since_seq)
    return Response(f'{{"items":[{items}],"next_since_seq":{following}}}', media_type="application/json")


def change_json(seq: int, envelope: Envelope, run: Run | None) -> str:
    """One step of the live stream: the record, and the run as it stands after it."""
    shown = run.model_dump_json(by_alias=True) if run is not None else "null"
    return (
        f'{{"seq":{seq},"type":{json.dumps(envelope.type)},"run_id":{json.dumps(envelope.run_id)},'
        f'"record":{record_json(seq, envelope)},"run":{shown}}}'
    )
