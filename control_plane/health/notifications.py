"""Is somebody told, where the operator wants that?"""

from control_plane.context import Context
from control_plane.health.check import Check, degraded, ok
from control_plane.notifications.standing import standing


async def notifications(context: Context) -> Check:
    """Whether the configuration can be used, and whether the last notification to every target arrived."""
    name = "notifications"
    targets = standing(context.notifications, context.read_model)
    path = context.notifications.path
    if context.notifications.problem is not None:
        todo = f"correct {path}: it counts at once. What was in force before stays until then"
        return degraded(name, context.notifications.problem, todo, targets=len(targets))
    if not targets:
        return ok(name, f"nobody is told of anything: there is no target in {path}", targets=0)
    failing = [
        target
        for target in targets
        if target.problem or (target.last is not None and not target.last.delivered)
    ]
    total = sum(target.failed for target in targets)
    if failing:
        first = failing[0]
        why = first.problem or (first.last.error if first.last is not None else "")
        named = ", ".join(target.name for target in failing)
        todo = (
            f"correct the target in {path} or at its other end, then `runplane notify test {first.name}`; "
            "`runplane events --type NotificationFailed` shows what was not told"
        )
        return degraded(
            name, f"not reached: {named}; {first.name}: {why}", todo, targets=len(targets), failed=total
        )
    reached = sum(target.last is not None for target in targets)
    detail = f"{len(targets)} targets; the {reached} that were told of something were reached last time"
    return ok(name, detail, targets=len(targets), failed=total)
