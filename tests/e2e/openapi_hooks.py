"""What schemathesis cannot know: a key is good for one request, a cursor comes from the page before, and of a regular
expression and of a condition a schema can only say that it has to be one.
"""

import uuid
from typing import Any

import schemathesis


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:  # noqa: ARG001
    """Mend valid requests only: what is wrong on purpose stays wrong."""
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    if "Idempotency-Key" in (case.headers or {}):
        case.headers["Idempotency-Key"] = uuid.uuid4().hex
    if isinstance(case.body, dict) and isinstance(case.body.get("progress"), dict):
        case.body["progress"]["pattern"] = "(?P<done>[0-9]+)/(?P<total>[0-9]+)"
    if isinstance(case.body, dict):
        _mend_workflow(case.body)
    points = case.body.get("breakpoints") if isinstance(case.body, dict) else None
    for point in points if isinstance(points, list) else ():
        if isinstance(point, dict) and isinstance(point.get("condition"), str):
            point["condition"] = "count > 3"
    if case.query:
        case.query.pop("cursor", None)
        if "wait" in case.query:
            case.query["wait"] = 0.2


def _mend_workflow(body: dict[str, Any]) -> None:
    """In which order the links of a chain make sense, and what a key may name, is more than a schema says."""
    recovery, concurrency = body.get("recovery"), body.get("concurrency")
    if isinstance(recovery, dict) and isinstance(recovery.get("chain"), list):
        recovery["chain"] = [
            link for link in recovery["chain"] if link.get("do") in ("retry", "resume", "restart")
        ]
    if isinstance(concurrency, dict) and isinstance(concurrency.get("key"), str):
        concurrency["key"] = "one"
