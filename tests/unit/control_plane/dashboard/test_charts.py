"""Charts are plain data: bars by ending, a line of what was started, no colour that does not follow the theme."""

import json

from control_plane.dashboard.charts import activity_options


def test_activity_is_counted_into_its_buckets() -> None:
    counted = [(0, "started", 2), (1, "completed", 1), (1, "failed", 3), (9, "failed", 1), (-1, "started", 1)]
    options = activity_options(counted, 1000, 60_000, 2)
    series = {one["name"]: one["data"] for one in options["series"]}
    assert series == {
        "completed": [[1000, 0], [61000, 1]],
        "failed": [[1000, 0], [61000, 3]],
        "started": [[1000, 2], [61000, 0]],
    }
    assert options["xAxis"] == {"type": "time", "min": 1000, "max": 121_000}
    assert "--rp-red" in json.dumps(options)
    assert "#" not in json.dumps(options)


def test_nothing_is_a_flat_line() -> None:
    assert [one["name"] for one in activity_options([], 0, 1)["series"]] == ["started"]
