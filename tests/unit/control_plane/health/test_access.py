from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from control_plane.context import Context
from control_plane.health.access import _certificate, tokens

pytestmark = pytest.mark.anyio
NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("left", "status"),
    [
        (None, "ok"),
        (timedelta(days=15), "ok"),
        (timedelta(days=13, hours=23), "degraded"),
        (timedelta(seconds=1), "degraded"),
        (timedelta(0), "failed"),
        (timedelta(days=-400), "failed"),
    ],
)
def test_a_certificate_is_told_of_before_it_ends(left: timedelta | None, status: str) -> None:
    check = _certificate(NOW + left if left is not None else None, NOW)

    assert check.status == status
    assert bool(check.todo) == (status != "ok")
    if left is None:
        assert "not applicable" in check.detail


async def test_a_token_that_others_can_read_says_what_to_type(tmp_path: Path) -> None:
    file = tmp_path / "token"
    context = cast("Context", SimpleNamespace(settings=SimpleNamespace(token_file=file)))
    assert (await tokens(context)).status == "degraded"
    file.write_text("x" * 43)
    file.chmod(0o640)
    assert (await tokens(context)).todo == f"`chmod 600 {file}`"
    file.chmod(0o600)
    assert (await tokens(context)).status == "ok"
