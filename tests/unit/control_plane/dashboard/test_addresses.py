"""What pages read from their address: checked, bounded, and written back the same."""

from datetime import UTC, datetime
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.dashboard.audit_search import PAGE, Search, moment_of
from control_plane.dashboard.narrowing import Narrowing

queries = st.dictionaries(
    st.sampled_from([*Search.__slots__, *Narrowing.__slots__, "other"]), st.text(max_size=300), max_size=8
)


def test_a_search_becomes_a_filter_of_the_newest_page() -> None:
    search = Search.of(
        {
            "type": "RunKilled",
            "actor": " ada ",
            "run": "run_00000000000a",
            "since": "2026-03-01T14:02",
            "before": "77",
        }
    )
    asked = search.filter()
    assert search.faults() == {}
    assert (asked.type, asked.actor, asked.run_id, asked.host) == (
        "RunKilled",
        "ada",
        "run_00000000000a",
        None,
    )
    assert (asked.since, asked.before_seq) == (datetime(2026, 3, 1, 14, 2, tzinfo=UTC), 77)
    assert (asked.newest, asked.limit) == (True, PAGE)


@pytest.mark.parametrize(
    ("query", "field"), [({"type": "X"}, "type"), ({"since": "noon"}, "since"), ({"before": "-1"}, "before")]
)
def test_what_cannot_be_used_is_named(query: dict[str, str], field: str) -> None:
    assert list(Search.of(query).faults()) == [field]


def test_times_keep_their_zone() -> None:
    assert moment_of("2026-03-01T14:02:00+02:00") == datetime(2026, 3, 1, 12, 2, tzinfo=UTC)
    assert moment_of("yesterday") is None


@given(queries)
def test_a_search_is_written_as_it_is_read(query: dict[str, str]) -> None:
    search = Search.of(query)
    assert Search.of(dict(parse_qsl(urlsplit(search.address()).query))) == search
    assert search.opened is None or search.opened >= 0
    if not search.faults():
        search.filter()


@given(queries)
def test_the_table_is_narrowed_by_what_can_be(query: dict[str, str]) -> None:
    narrowing = Narrowing.of(query)
    assert Narrowing.of(narrowing.plain()) == narrowing
    assert narrowing.stuck in ("", "true")


def test_what_the_table_does_not_know_is_passed_over() -> None:
    assert Narrowing.of({"status": "odd", "started": "1y", "stuck": "yes", "q": "x"}) == Narrowing(q="x")
    assert Narrowing.of({"status": "timed_out", "started": "24h"}) == Narrowing(
        status="timed_out", started="24h"
    )
