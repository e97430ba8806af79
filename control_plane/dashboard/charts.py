"""Options of the charts, as plain values. Colours are names that the browser looks up: they follow the theme."""

from collections.abc import Iterable
from typing import Any

from control_plane.dashboard import words
from runplane.contract.run import Status

Options = dict[str, Any]
_ENDINGS = (
    Status.COMPLETED, Status.FAILED, Status.TIMED_OUT, Status.LOST, Status.KILLED, Status.CANCELED,
)  # fmt: skip


def activity_options(
    counted: Iterable[tuple[int, str, int]], begin_ms: int, bucket_ms: int, buckets: int = 0
) -> Options:
    """Endings as stacked bars by bucket, starts as a line over them. ``counted``: bucket number, kind, how many."""
    by_kind: dict[str, list[int]] = {}
    for bucket, kind, count in counted:
        if 0 <= bucket < buckets:
            by_kind.setdefault(kind, [0] * buckets)[bucket] += count
    moments = [begin_ms + number * bucket_ms for number in range(buckets)]
    series: list[Options] = [
        {
            "type": "bar", "name": words.status(status), "stack": "ended", "barCategoryGap": "25%",
            "itemStyle": {"color": f"--rp-{words.STATUS_HUE[status]}"},
            "data": [list(one) for one in zip(moments, by_kind[str(status)], strict=True)],
        }
        for status in _ENDINGS
        if str(status) in by_kind
    ]  # fmt: skip
    started = by_kind.get("started", [0] * buckets)
    series.append(
        {
            "type": "line", "name": "started", "step": "middle", "symbol": "none", "lineStyle": {"width": 1.5},
            "color": "--rp-blue", "data": [list(one) for one in zip(moments, started, strict=True)],
        }
    )  # fmt: skip
    return {
        "animation": False,
        "grid": {"left": 36, "right": 12, "top": 34, "bottom": 24},
        "legend": {"top": 0, "left": 0, "itemWidth": 12, "itemHeight": 8, "icon": "roundRect"},
        "tooltip": {"trigger": "axis", "confine": True},
        "xAxis": {"type": "time", "min": begin_ms, "max": begin_ms + buckets * bucket_ms},
        "yAxis": {"type": "value", "minInterval": 1},
        "series": series,
    }
