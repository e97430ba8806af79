"""Notifications: how each target stands, and a test of one or of all."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from control_plane.api.documents import (
    NotificationList,
    NotificationTest,
    NotificationTestRequest,
    NotificationTests,
)
from control_plane.api.parts import (
    BASE,
    ActorOf,
    ContextOf,
    KeyOf,
    OnceOf,
    Reflects,
    answer,
    body_of,
    problems,
    request_body,
)
from control_plane.context import Context
from control_plane.notifications.deliveries import SOURCE, result_of
from control_plane.notifications.message import TEST, trial_message
from control_plane.notifications.sending import send
from control_plane.notifications.settings import Target
from control_plane.notifications.standing import standing
from runplane.contract.errors import NotFound
from runplane.contract.run import Actor
from runplane.contract.subjects import notification_event
from runplane.stamp import new_record_id, now, stamp

router = APIRouter(prefix=BASE, tags=["notifications"])


@router.get(
    "/notifications",
    summary="Who is told of what",
    response_model=NotificationList,
    responses=problems(503),
    dependencies=[Reflects],
)
async def list_notifications(context: ContextOf) -> Response:
    """Every target, how often it was told, and what became of the last time."""
    targets = standing(context.notifications, context.read_model)
    found = NotificationList(
        path=str(context.notifications.path), problem=context.notifications.problem, targets=targets
    )
    return answer(found)


@router.post(
    "/notifications/test",
    summary="Tell a target, or all, for a test",
    response_model=NotificationTests,
    responses=problems(404, 503),
    openapi_extra=request_body(NotificationTestRequest, required=False),
)
async def try_targets(
    *,
    request: Request,
    context: ContextOf,
    once: OnceOf,
    actor: ActorOf,
    body: Annotated[NotificationTestRequest, Depends(body_of(NotificationTestRequest))],
    key: KeyOf = None,
) -> Response:
    """One attempt each, now; the answer says what became of it, and so does the log."""
    targets = _asked(context, body.target)

    async def attempt() -> Response:
        results = await asyncio.gather(*(_try(context, target, actor) for target in targets))
        return answer(NotificationTests(results=tuple(results)))

    return await once.answer(request, actor.principal, key, attempt)


def _asked(context: Context, name: str | None) -> tuple[Target, ...]:
    configuration = context.notifications.current()
    if name is None:
        return configuration.targets
    target = configuration.target(name)
    if target is None:
        known = ", ".join(one.name for one in configuration.targets) or "none"
        raise NotFound(
            f"there is no notification target {name} (there are: {known}): add it to {context.notifications.path}",
            code="target_not_found",
            target=name,
        )
    return (target,)


async def _try(context: Context, target: Target, actor: Actor) -> NotificationTest:
    notification_id = f"msg_{new_record_id()}"
    message = trial_message(target.name, now(), context.deliveries.dashboard)
    sent = await send(context.notifications, target, notification_id, message)
    result = result_of(sent, notification_id=notification_id, target=target.name, about=TEST, attempts=1)
    await context.bus.publish(
        stamp(result, subject=notification_event(target.name), source=SOURCE, actor=actor)
    )
    return NotificationTest(
        target=target.name,
        delivered=sent.ok,
        status=sent.status,
        error=sent.error,
        notification_id=notification_id,
    )
