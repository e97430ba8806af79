"""What routes share: the context, who asks, waiting for a position, reading a body, and answering without a detour.

Answers are written by the model's own serialiser straight into the response; ``response_model`` on a route is there
for the documentation. Every dependency is a coroutine: a plain function would be called in a thread, and the way
there and back is longer than all of its work.
"""

import re
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Header, Path, Query
from pydantic import BaseModel, BeforeValidator, StringConstraints, ValidationError, WithJsonSchema
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import from_json, to_json
from starlette.requests import Request
from starlette.responses import Response

from control_plane.api.once import Once
from control_plane.api.problems import MEDIA_TYPE, invalid_body
from control_plane.context import Context
from runplane.contract.errors import CallerError, InvalidInput, NotFound, Unavailable
from runplane.contract.ids import (
    HOST_ID_PATTERN,
    NAME_PATTERN,
    RUN_ID_PATTERN,
    is_host_id,
    is_name,
    is_run_id,
)
from runplane.contract.run import Actor

Body = TypeVar("Body", bound=BaseModel)

BASE = "/api/v1"
LONGEST_WAIT_SECONDS = 60.0
MIN_SEQ_SECONDS = 5.0
MAX_POSITION = 2**63 - 1
_FRACTION = re.compile(rb"[0-9](\.0|[eE])")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:?\d\d)")


async def context_of(request: Request) -> Context:
    """The parts of the control plane."""
    context: Context = request.app.state.context
    return context


async def once_of(request: Request) -> Once:
    """The one answer of each keyed request."""
    once: Once = request.app.state.once
    return once


async def actor_of(request: Request) -> Actor:
    """Who asks: set by the gate."""
    actor: Actor = request.state.actor
    return actor


async def run_id_of(
    run_id: Annotated[
        str,
        Path(
            description="Id of a run",
            examples=["run_0dcbc991c0d4"],
            json_schema_extra={"pattern": RUN_ID_PATTERN},
        ),
    ],
) -> str:
    """A run id; what has not its form is nobody's id."""
    if not is_run_id(run_id):
        raise NotFound(
            f"{run_id[:80]!r} is no run id (they look like run_0dcbc991c0d4): see runplane ps --all",
            code="run_not_found",
            run_id=run_id[:80],
        )
    return run_id


async def host_id_of(
    host_id: Annotated[
        str,
        Path(
            description="Id of a host", examples=["worker-1"], json_schema_extra={"pattern": HOST_ID_PATTERN}
        ),
    ],
) -> str:
    """A host id; what has not its form is nobody's id."""
    if not is_host_id(host_id):
        raise NotFound(
            f"{host_id[:80]!r} is no host id: see runplane hosts", code="host_not_found", host=host_id[:80]
        )
    return host_id


async def workflow_name_of(
    name: Annotated[
        str,
        Path(
            description="Name of a workflow", examples=["lina"], json_schema_extra={"pattern": NAME_PATTERN}
        ),
    ],
) -> str:
    """A workflow's name."""
    if not is_name(name):
        raise NotFound(
            f"{name[:80]!r} is no workflow name (lower-case letters, digits, - and _, at most 63): "
            f"see runplane workflows",
            code="workflow_not_found",
            workflow=name[:80],
        )
    return name


async def reflects(request: Request) -> None:
    """``min_seq``: hold a read until the log position is reflected; Unavailable when it is not in time."""
    asked = request.query_params.get("min_seq")
    if asked is None:
        return
    if not (asked.isascii() and asked.isdecimal() and int(asked) <= MAX_POSITION):
        raise InvalidInput(
            f"min_seq={asked[:80]!r} is no log position: use the Runplane-Seq of an earlier answer",
            field="min_seq",
            value=asked[:80],
        )
    read_model = (await context_of(request)).read_model
    if not await read_model.wait_for(int(asked), MIN_SEQ_SECONDS):
        raise Unavailable(
            f"log position {asked} is not reached yet (now {read_model.position}): ask again in a moment",
            code="position_not_reached",
            position=read_model.position,
        )


def only(*names: str) -> Any:
    """A dependency that refuses a query parameter nobody knows: a misspelt filter is an error, not everything."""
    known = frozenset({*names, "min_seq"})

    async def check(request: Request) -> None:
        for name in request.query_params:
            if name not in known:
                raise InvalidInput(
                    f"{name[:80]} is no parameter here (there are: {', '.join(names)}): "
                    f"correct the name or leave it out",
                    field=name[:80],
                )

    return Depends(check)


def event_id_of(given: str | None) -> int | None:
    """The position that ``Last-Event-ID`` names."""
    return int(given) if given else None


def _read_moment(value: Any) -> Any:
    if isinstance(value, str) and not _MOMENT.fullmatch(value):
        raise ValueError("is no moment: write it like 2025-01-31T09:30:00Z")
    if isinstance(value, str):
        return datetime.fromisoformat(value.upper().replace(" ", "T"))
    return value


ContextOf = Annotated[Context, Depends(context_of)]
ActorOf = Annotated[Actor, Depends(actor_of)]
RunIdOf = Annotated[str, Depends(run_id_of)]
HostIdOf = Annotated[str, Depends(host_id_of)]
WorkflowNameOf = Annotated[str, Depends(workflow_name_of)]
OnceOf = Annotated[Once, Depends(once_of)]
Reflects = Depends(reflects)
MomentOf = Annotated[
    datetime, BeforeValidator(_read_moment), WithJsonSchema({"type": "string", "format": "date-time"})
]
KeyOf = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="The same key with the same request has one effect and gets the same answer",
        min_length=1,
        max_length=255,
        pattern=r"^[!-~]+$",
    ),
]
LastEventIdOf = Annotated[
    Annotated[str, StringConstraints(pattern="^[0-9]{0,18}$")] | SkipJsonSchema[None],
    Header(alias="Last-Event-ID", description="Go on after this event"),
]
WaitOf = Annotated[
    float,
    Query(
        alias="wait",
        ge=0,
        le=LONGEST_WAIT_SECONDS,
        description="Seconds to hold the answer until the effect is visible",
    ),
]


def body_of(model: type[Body]) -> Callable[[Request], Awaitable[Body]]:
    """A dependency that reads the body as ``model``, strictly; no body is an empty object."""

    async def read(request: Request) -> Body:
        body = await request.body()
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if body and kind != "application/json":
            raise _UnsupportedMediaType(
                f"the body's Content-Type is {kind[:80] or 'missing'}: send JSON as application/json"
            )
        try:
            return model.model_validate_json(_with_whole_numbers(body) or b"{}", strict=True)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            if first["type"] == "json_invalid":
                raise CallerError(
                    f"the body is not JSON: {first['msg'][:200]}", code="invalid_json"
                ) from None
            raise invalid_body(error) from None

    return read


def _with_whole_numbers(body: bytes) -> bytes:
    """In JSON ``7.0`` is the integer 7, which pydantic's strictness does not see. Parameters stay as they are."""
    if not _FRACTION.search(body):
        return body
    try:
        document = from_json(body)
    except ValueError:
        return body
    if isinstance(document, dict):
        document = {name: value if name == "params" else _whole(value) for name, value in document.items()}
    return to_json(document)


def _whole(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {name: _whole(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_whole(inner) for inner in value]
    return value


class _UnsupportedMediaType(CallerError):
    """The body is not JSON."""

    code = "unsupported_media_type"
    status = 415


def answer(model: BaseModel, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A model as a JSON response."""
    return Response(
        model.model_dump_json(by_alias=True),
        status_code=status,
        media_type="application/json",
        headers=headers,
    )


def request_body(model: type[BaseModel], *, required: bool) -> dict[str, Any]:
    """``openapi_extra`` of a route that reads its body by :func:`body_of`; the schema is added to the components."""
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    return {"requestBody": {"required": required, "content": {"application/json": {"schema": schema}}}}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """``responses`` of a route: the problems it answers with beside those that every route has."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {"description": _MEANING[status], "content": {MEDIA_TYPE: {"schema": schema}}}
        for status in statuses
    }


_MEANING = {
    400: "The request is not JSON",
    401: "No token, or one that nobody has",
    403: "Host, Origin or session are not allowed",
    404: "There is no such thing",
    408: "The body did not come in time",
    409: "The state does not allow it",
    413: "The body is too large",
    415: "The body is not declared as JSON",
    422: "A field has a value that cannot be used",
    500: "Something went wrong on our side",
    503: "A part of the system is away, or the log position is not reached yet",
}
