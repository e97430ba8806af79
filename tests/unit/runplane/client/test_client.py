import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from runplane.client import Client
from runplane.client.answers import AnswerNotUnderstood
from runplane.contract.run import Status
from runplane.contract.workflow import WorkflowDefinition

pytestmark = pytest.mark.anyio

URL = "http://plane.test:28881"
RUN_ID = "run_0dcbc991c0d4"
RUN = {
    "run_id": RUN_ID, "workflow": "lina", "workflow_version": 3, "status": "running",
    "created_at": "2026-03-01T14:02:11Z", "requested_by": "operator", "seq": 42,
}  # fmt: skip


class Plane:
    """Answers every request with what it was given, and remembers what was asked."""

    def __init__(self, *answers: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.answers = list(answers)
        self.status = status
        self.headers = headers or {}
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return httpx.Response(self.status, json=answer, headers=self.headers)

    @property
    def last(self) -> httpx.Request:
        return self.requests[-1]

    def body(self) -> Any:
        return json.loads(self.last.content)


def client_of(plane: Callable[[httpx.Request], httpx.Response], **options: Any) -> Client:
    return Client(URL, "rp_secret", transport=httpx.MockTransport(plane), **options)


async def test_a_run_comes_back_as_the_contracts_model() -> None:
    plane = Plane(RUN | {"something": "new"})
    async with client_of(plane) as client:
        run = await client.get_run(RUN_ID)
    assert (run.run_id, run.status, run.seq) == (RUN_ID, Status.RUNNING, 42)
    assert str(plane.last.url) == f"{URL}/api/v1/runs/{RUN_ID}"


async def test_it_names_principal_and_surface() -> None:
    plane = Plane(RUN)
    async with client_of(plane, surface="mcp") as client:
        await client.get_run(RUN_ID)
    assert plane.last.headers["Authorization"] == "Bearer rp_secret"
    assert plane.last.headers["Runplane-Surface"] == "mcp"


async def test_only_what_was_said_is_in_a_body() -> None:
    plane = Plane({"command_id": "c", "run": RUN})
    async with client_of(plane) as client:
        await client.kill_run(RUN_ID)
        assert plane.body() == {}
        await client.kill_run(RUN_ID, reason="stuck", force=True, grace_seconds=0)
        assert plane.body() == {"reason": "stuck", "force": True, "grace_seconds": 0}


async def test_every_mutation_has_a_key_of_its_own_unless_one_is_given() -> None:
    plane = Plane(RUN)
    async with client_of(plane) as client:
        await client.start_run("lina")
        await client.start_run("lina")
        await client.start_run("lina", idempotency_key="mine")
        await client.get_run(RUN_ID)
    one, other, mine = (request.headers["Idempotency-Key"] for request in plane.requests[:3])
    assert one != other
    assert mine == "mine"
    assert "Idempotency-Key" not in plane.last.headers


async def test_wait_goes_to_the_plane_and_makes_the_own_limit_longer() -> None:
    plane = Plane({"command_id": "c", "run": RUN})
    async with client_of(plane, timeout=7.0) as client:
        await client.kill_run(RUN_ID, wait=20)
        assert plane.last.url.params["wait"] == "20"
        assert plane.last.extensions["timeout"]["read"] == 27.0
        await client.kill_run(RUN_ID, wait=600)
        assert plane.last.url.params["wait"] == "60"


async def test_a_read_after_a_mutation_asks_for_its_effect() -> None:
    plane = Plane(RUN, headers={"Runplane-Seq": "77"})
    async with client_of(plane) as client:
        await client.get_run(RUN_ID)
        assert "min_seq" not in plane.last.url.params
        await client.start_run("lina")
        await client.get_run(RUN_ID)
    assert plane.last.url.params["min_seq"] == "77"


async def test_filters_are_written_as_the_api_reads_them() -> None:
    plane = Plane({"items": [RUN], "next_cursor": "c2", "total": 9})
    async with client_of(plane) as client:
        page = await client.list_runs(
            status=["running", "paused"], stuck=True, started_after=datetime(2026, 3, 1, tzinfo=UTC), limit=5
        )
    assert dict(plane.last.url.params) == {
        "status": "running,paused", "stuck": "true", "started_after": "2026-03-01T00:00:00+00:00", "limit": "5",
    }  # fmt: skip
    assert (len(page.items), page.next_cursor, page.total) == (1, "c2", 9)


async def test_the_beginning_of_the_log_is_a_position_too() -> None:
    plane = Plane({"items": [], "next_since_seq": None})
    async with client_of(plane) as client:
        await client.events(since_seq=0)
    assert plane.last.url.params["since_seq"] == "0"


async def test_an_id_cannot_lead_to_another_place() -> None:
    plane = Plane(RUN)
    async with client_of(plane) as client:
        await client.get_run("../tokens?x=1")
    assert plane.last.url.raw_path == b"/api/v1/runs/..%2Ftokens%3Fx%3D1"


async def test_a_workflow_is_sent_by_the_names_of_its_file() -> None:
    definition = WorkflowDefinition.model_validate(
        {"name": "lina", "command": ["true"], "workspace": "/srv", "recovery": {"from": "checkpoint"}}
    )
    plane = Plane(
        {"name": "lina", "version": 1, "definition": definition.model_dump(mode="json", by_alias=True)}
    )
    async with client_of(plane) as client:
        view = await client.apply_workflow(definition)
    assert plane.last.method == "PUT"
    assert plane.body()["recovery"]["from"] == "checkpoint"
    assert view.definition == definition


async def test_what_it_does_not_understand_is_said_with_its_place() -> None:
    async with client_of(Plane({"run_id": "nonsense"})) as client:
        with pytest.raises(AnswerNotUnderstood, match="run_id"):
            await client.get_run(RUN_ID)


async def test_not_being_ready_is_an_answer() -> None:
    async with client_of(Plane({"status": "not_ready"}, status=503)) as client:
        assert await client.ready() == {"status": "not_ready"}


async def test_the_secret_of_a_token_is_not_printed() -> None:
    async with client_of(Plane({"id": "t1", "token": "rp_new"})) as client:
        token = await client.create_token(role="viewer", name="ci")
    assert token.token == "rp_new"
    assert "rp_new" not in repr(token)
