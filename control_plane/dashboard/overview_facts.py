"""What the overview shows, made once for all viewers: at most once a second, and only while somebody looks.

Reading is bounded: so many runs that need attention, one query for the activity, one for the outcomes.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from time import monotonic

from control_plane.absence import sentence_of_pending
from control_plane.context import Context
from control_plane.dashboard import words
from control_plane.read_model import HostView, RunFilter
from runplane.contract.run import AWAITING_DECISION, OPEN, Condition, Run, Status
from runplane.stamp import now

KEPT_SECONDS = 1.0
MOST_ITEMS = 12
WAITS_LONG_SECONDS = 60.0
FAILING_ENDINGS = 3
FAILING_SHARE = 0.5
SPANS = {"1 h": (3_600, 60), "24 h": (86_400, 1_800)}
"""By what a viewer chooses: seconds in all, seconds a bucket."""
_FAILURES = frozenset({Status.FAILED, Status.TIMED_OUT, Status.LOST})


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """Something that needs attention. ``since``: milliseconds of the epoch; ``next``: what to type or do."""

    hue: str
    what: str
    title: str
    href: str
    text: str
    since: int | None = None
    next: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """``more``: how many further items were left out. ``activity``: by span, bucket number and kind."""

    counts: dict[str, int]
    items: tuple[Item, ...]
    more: int
    hosts: tuple[HostView, ...]
    begin: dict[str, datetime] = field(default_factory=dict)
    activity: dict[str, list[tuple[int, str, int]]] = field(default_factory=dict)


class Overview:
    """Keeps the last facts for a moment."""

    def __init__(self, context: Context) -> None:
        """Nothing is read before :meth:`facts`."""
        self._context = context
        self._kept: tuple[float, Facts] | None = None

    def facts(self) -> Facts:
        """As they are now, or were within the last second."""
        moment = monotonic()
        if self._kept is None or moment - self._kept[0] >= KEPT_SECONDS:
            self._kept = (moment, self._read(now()))
        return self._kept[1]

    def _read(self, moment: datetime) -> Facts:
        read_model = self._context.read_model
        hosts = tuple(read_model.hosts())
        items = [
            *self._to_decide(),
            *self._not_dying(),
            *self._stuck(),
            *_of_hosts(hosts),
            *self._waiting(hosts, moment),
            *self._failing(moment),
            *self._set_aside(),
        ]
        begin = {name: _begin(moment, seconds, bucket) for name, (seconds, bucket) in SPANS.items()}
        return Facts(
            counts=read_model.status_counts(),
            items=tuple(items[:MOST_ITEMS]),
            more=max(0, len(items) - MOST_ITEMS),
            hosts=hosts,
            begin=begin,
            activity={name: read_model.activity(begin[name], bucket) for name, (_, bucket) in SPANS.items()},
        )

    def _to_decide(self) -> list[Item]:
        page = self._context.read_model.runs(RunFilter(awaiting=True, sort="created_at", limit=50))
        return [
            _of_run(run, "red", "decide", condition, next=f"runplane decide {run.run_id} retry")
            for run in page.items
            for condition in run.conditions
            if condition.type == AWAITING_DECISION
        ]

    def _not_dying(self) -> list[Item]:
        page = self._context.read_model.runs(RunFilter(status=(Status.TERMINATING,), limit=50))
        return [
            _of_run(run, "red", "does not die", condition, next=f"runplane kill {run.run_id} --force")
            for run in page.items
            for condition in run.conditions
            if condition.type == "survivors"
        ]

    def _stuck(self) -> list[Item]:
        page = self._context.read_model.runs(
            RunFilter(status=tuple(sorted(OPEN)), stuck=True, sort="created_at", limit=50)
        )
        items = []
        for run in page.items:
            condition = next((one for one in run.conditions if one.type == "stuck"), None)
            if condition is not None:
                verdict = (condition.verdict or "stuck").replace("_", " ")
                items.append(
                    _of_run(
                        run, "amber", f"stuck: {verdict}", condition, next=f"runplane diagnose {run.run_id}"
                    )
                )
        return items

    def _waiting(self, hosts: tuple[HostView, ...], moment: datetime) -> list[Item]:
        page = self._context.read_model.runs(RunFilter(status=(Status.PENDING,), sort="created_at", limit=5))
        return [
            _of_run(
                run,
                "amber",
                "waits",
                Condition(type="waits", since=run.created_at, detail=sentence_of_pending(run, hosts)),
            )
            for run in page.items
            if not run.attempts and (moment - run.created_at).total_seconds() >= WAITS_LONG_SECONDS
        ]

    def _failing(self, moment: datetime) -> list[Item]:
        ended: Counter[str] = Counter()
        failed: Counter[str] = Counter()
        for workflow, status, count in self._context.read_model.outcomes(moment - timedelta(days=1)):
            ended[workflow] += count
            failed[workflow] += count if status in _FAILURES else 0
        return [
            Item(
                hue="red", what="fails often", title=workflow, href=f"/runs?workflow={workflow}&status=failed",
                text=f"{failed[workflow]} of {count} runs that ended in the last 24 h failed",
                next=f"runplane ps --all --workflow {workflow}",
            )
            for workflow, count in ended.most_common()
            if count >= FAILING_ENDINGS and failed[workflow] >= FAILING_SHARE * count
        ]  # fmt: skip

    def _set_aside(self) -> list[Item]:
        count = self._context.read_model.set_aside_count
        if not count:
            return []
        text = f"{count} records of the log cannot be read and were set aside"
        return [
            Item(
                hue="amber", what="records", title="The log", href="/audit", text=text, next="runplane doctor"
            )
        ]


def _of_run(run: Run, hue: str, what: str, why: Condition, *, next: str = "") -> Item:
    return Item(
        hue=hue,
        what=what,
        title=f"{run.workflow} · {run.run_id}",
        href=f"/runs/{run.run_id}",
        text=words.one_line(why.detail, 400),
        since=int(why.since.timestamp() * 1000),
        next=next,
    )


def _of_hosts(hosts: tuple[HostView, ...]) -> list[Item]:
    """Hosts that are away while they hold runs."""
    return [
        Item(
            hue="red", what="absent", title=host.host_id, href="/hosts",
            text=f"not heard from; {host.running} of its runs are open, and may well be alive there",
            since=int(host.last_seen.timestamp() * 1000), next="runplane hosts",
        )
        for host in hosts
        if host.status == "absent" and host.running
    ]  # fmt: skip


def _begin(moment: datetime, seconds: int, bucket: int) -> datetime:
    """Where the first bucket begins, so that the last one is the one under way, and borders stay where they are."""
    last = moment.timestamp() // bucket * bucket
    return datetime.fromtimestamp(last - seconds + bucket, tz=moment.tzinfo)
