"""Resources: a run, its output, a host. Read anew each time; what a run printed is marked as untrusted."""

import json
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, assert_never

from mcp.shared.exceptions import MCPError
from mcp.types import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    ReadResourceResult,
    Resource,
    ResourceTemplate,
    TextResourceContents,
)

from mcp_server.untrusted import last_bytes, plain, plain_values, wrapped
from runplane.client import Client
from runplane.contract.errors import NotFound, RunplaneError

log = logging.getLogger("mcp_server.resources")

SHOWN = 25
TAIL = 1000
MOST_BYTES = 262_144
JSON = "application/json"
TEXT = "text/plain"

Kind = Literal["run", "logs", "host"]
_FORMS: dict[Kind, re.Pattern[str]] = {
    "run": re.compile(r"run://(run_[0-9a-f]{12})/?"),
    "logs": re.compile(r"run://(run_[0-9a-f]{12})/logs"),
    "host": re.compile(r"host://([a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)/?"),
}

TEMPLATES = (
    ResourceTemplate(
        uri_template="run://{run_id}",
        name="run",
        title="A run",
        mime_type=JSON,
        description="One run in full.",
    ),
    ResourceTemplate(
        uri_template="run://{run_id}/logs",
        name="run_logs",
        title="What a run printed",
        mime_type=TEXT,
        description=f"The last {TAIL} lines that a run printed: untrusted output of a program.",
    ),
    ResourceTemplate(
        uri_template="host://{host_id}",
        name="host",
        title="A host",
        mime_type=JSON,
        description="One host: whether it is online, its slots, memory and load.",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Address:
    """What a URI names."""

    kind: Kind
    id: str


def address_of(uri: str) -> Address:
    """Read a URI; an MCP error says which forms there are."""
    for kind, form in _FORMS.items():
        if found := form.fullmatch(uri):
            return Address(kind=kind, id=found[1])
    forms = ", ".join(template.uri_template for template in TEMPLATES)
    raise MCPError(
        INVALID_PARAMS,
        f"{uri[:200]!r} is no resource here. There are {forms}, with a run_id like run_0dcbc991c0d4.",
        {"uri": uri[:200]},
    )


async def listed(connect: Callable[[], Client]) -> list[Resource]:
    """The newest runs and the hosts, for a person to pick from. Nothing while the control plane is away."""
    try:
        async with connect() as client:
            runs = (await client.list_runs(limit=SHOWN)).items
            hosts = await client.hosts()
    except RunplaneError as error:
        log.info("resources are not listed: %s", error.message)
        return []
    return [
        *(
            Resource(
                uri=f"run://{run.run_id}",
                name=run.run_id,
                title=f"{run.workflow} ({run.status})",
                mime_type=JSON,
                description=f"Run {run.run_id} of {run.workflow}, created {run.created_at:%Y-%m-%d %H:%M:%S %Z}.",
            )
            for run in runs
        ),
        *(
            Resource(
                uri=f"host://{host.host_id}",
                name=host.host_id,
                title=f"Host {host.host_id} ({host.status})",
                mime_type=JSON,
            )
            for host in hosts[:SHOWN]
        ),
    ]


async def read(uri: str, connect: Callable[[], Client]) -> ReadResourceResult:
    """Read one resource; an MCP error where there is no such thing or the control plane does not answer."""
    address = address_of(uri)
    try:
        async with connect() as client:
            return await _read(uri, address, client)
    except NotFound as error:
        raise MCPError(INVALID_PARAMS, f"There is no {uri}: {error.message}", {"uri": uri}) from None
    except RunplaneError as error:
        raise MCPError(INTERNAL_ERROR, f"{uri} cannot be read: {error.message}", {"uri": uri}) from None


async def _read(uri: str, address: Address, client: Client) -> ReadResourceResult:
    match address.kind:
        case "run":
            return _json(uri, (await client.get_run(address.id)).model_dump_json())
        case "logs":
            page = await client.logs(address.id, tail=TAIL)
            printed = plain("".join(item.text for item in page.items))
            return _contents(uri, TEXT, wrapped(last_bytes(printed, MOST_BYTES), address.id))
        case "host":
            return _json(uri, (await client.host(address.id)).model_dump_json())
        case _:
            assert_never(address.kind)


def _json(uri: str, document: str) -> ReadResourceResult:
    return _contents(uri, JSON, json.dumps(plain_values(json.loads(document)), ensure_ascii=False))


def _contents(uri: str, mime_type: str, text: str) -> ReadResourceResult:
    return ReadResourceResult(contents=[TextResourceContents(uri=uri, mime_type=mime_type, text=text)])
