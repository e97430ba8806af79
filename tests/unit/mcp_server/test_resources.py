import re

import pytest
from mcp.shared.exceptions import MCPError

from mcp_server.resources import Address, address_of


@pytest.mark.parametrize(
    ("uri", "address"),
    [
        ("run://run_0dcbc991c0d4", Address(kind="run", id="run_0dcbc991c0d4")),
        ("run://run_0dcbc991c0d4/logs", Address(kind="logs", id="run_0dcbc991c0d4")),
        ("host://build-7", Address(kind="host", id="build-7")),
    ],
)
def test_what_a_uri_names(uri: str, address: Address) -> None:
    assert address_of(uri) == address


@pytest.mark.parametrize(
    "uri",
    [
        "run://run_x",
        "run://run_0dcbc991c0d4/../x",
        "host://../etc",
        "file:///etc/passwd",
        "run://run_0dcbc991c0d4\n",
    ],
)
def test_any_other_uri_is_told_the_forms(uri: str) -> None:
    with pytest.raises(MCPError, match=re.escape("run://{run_id}/logs")):
        address_of(uri)
