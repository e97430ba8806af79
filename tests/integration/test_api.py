import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from runplane.bus import Bus
from runplane.contract.debugging import scope_of
from runplane.contract.envelope import Envelope
from runplane.contract.events import (
    RunContinued,
    RunKilled,
    RunPaused,
    RunTerminating,
    StepCompleted,
    StepStarted,
    VariablesSet,
)
from runplane.contract.run import Actor
from runplane.contract.subjects import host_event, output
from runplane.contract.value import Value
from runplane.stamp import stamp
from tests.broker_process import BrokerProcess
from tests.control_plane_process import ControlPlaneProcess
from tests.records import HOST, claim, receipt, spawned

pytestmark = pytest.mark.anyio

LIMIT = 20.0
NAP = {
    "command": ["sleep", "{seconds}"],
    "params": {
        "type": "object",
        "properties": {
            "seconds": {"type": "integer", "default": 60, "minimum": 1},
            "key": {"type": "string", "secret": True},
        },
    },
}


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    broker = BrokerProcess(tmp_path_factory.mktemp("broker"))
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture(scope="module")
def plane(broker: BrokerProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlaneProcess]:
    plane = ControlPlaneProcess(tmp_path_factory.mktemp("plane"), broker)
    plane.start()
    httpx.put(f"{plane.url}/api/v1/workflows/nap", json=NAP, headers=plane.headers).raise_for_status()
    yield plane
    plane.stop()


@pytest.fixture
async def api(plane: ControlPlaneProcess) -> AsyncIterator[httpx.AsyncClient]:
    async with plane.client() as client:
        yield client


@pytest.fixture
async def bus(broker: BrokerProcess) -> AsyncIterator[Bus]:
    bus = await Bus.connect(broker.url, name="test-agent")
    yield bus
    await bus.close()


async def start(api: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    response = await api.post("/runs", json={"workflow": "nap", **body})
    assert response.status_code == 201, response.text
    run: dict[str, Any] = response.json()
    return run


async def tell(bus: Bus, run_id: str, data: Value, *, attempt: int | None = 1, cause: Any = None) -> int:
    """Tell a fact as the run's host would."""
    envelope = stamp(
        data,
        subject=host_event(HOST, run_id),
        source=f"host/{HOST}",
        actor=Actor(principal="operator", surface="api"),
        attempt=attempt,
        cause=cause,
    )
    return (await bus.publish(envelope)).seq


async def ordered(bus: Bus, run_id: str, name: str) -> Envelope:
    """The order, once the log has it: before that, the API may not have looked at the run yet."""
    with anyio.fail_after(LIMIT):
        while True:
            found = next((one for _, one in await bus.story(run_id) if one.type == name), None)
            if found is not None:
                return found
            await asyncio.sleep(0.005)


async def make_running(bus: Bus, api: httpx.AsyncClient, run_id: str) -> None:
    await tell(bus, run_id, claim().data)
    seq = await tell(bus, run_id, spawned().data)
    run = (await api.get(f"/runs/{run_id}", params={"min_seq": seq})).json()
    assert run["status"] == "running"


def problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = response.json()
    assert document["code"] == code
    assert document["status"] == status
    return document


# Runs


async def test_a_started_run_is_pending_and_can_be_read_at_once(api: httpx.AsyncClient) -> None:
    response = await api.post("/runs", json={"workflow": "nap", "params": {"seconds": 7}})
    run = response.json()
    assert response.status_code == 201
    assert response.headers["location"] == f"/api/v1/runs/{run['run_id']}"
    assert (run["status"], run["params"], run["requested_by"]) == ("pending", {"seconds": 7}, "operator")
    assert int(response.headers["runplane-seq"]) >= run["seq"]
    assert (await api.get(f"/runs/{run['run_id']}")).json() == run


async def test_the_surface_is_the_one_the_caller_names(api: httpx.AsyncClient) -> None:
    run = (await api.post("/runs", json={"workflow": "nap"}, headers={"Runplane-Surface": "cli"})).json()
    assert run["requested_via"] == "cli"
    problem(await api.get("/runs", headers={"Runplane-Surface": "policy"}), 400, "invalid_surface")


async def test_what_cannot_be_started_is_refused_by_field(api: httpx.AsyncClient) -> None:
    document = problem(await api.post("/runs", json={"workflow": "nop"}), 404, "workflow_not_found")
    assert "nap" in document["detail"]
    response = await api.post("/runs", json={"workflow": "nap", "params": {"seconds": 0}})
    document = problem(response, 422, "invalid_parameters")
    assert document["errors"] == [
        {"field": "params.seconds", "value": "0", "message": "params.seconds is 0: allowed is minimum 1"}
    ]
    response = await api.post("/runs", json={"workflow": "nap", "params": {"secnds": 1}})
    assert problem(response, 422, "invalid_parameters")["errors"][0]["field"] == "params.secnds"
    response = await api.post("/runs", json={"workflow": "nap", "host": "nowhere"})
    problem(response, 404, "host_not_found")
    response = await api.post("/runs", json={"workflow": "nap", "wrokflow": "x"})
    assert problem(response, 422, "invalid_input")["errors"][0]["field"] == "wrokflow"
    problem(await api.post("/runs", content=b"{"), 415, "unsupported_media_type")
    as_json = {"content-type": "application/json"}
    problem(await api.post("/runs", content=b"{", headers=as_json), 400, "invalid_json")
    problem(await api.post("/runs", content=b" " * (4 * 2**20 + 1), headers=as_json), 413, "body_too_large")


async def test_a_secret_value_is_never_stored_or_repeated(
    api: httpx.AsyncClient, bus: Bus, plane: ControlPlaneProcess
) -> None:
    response = await api.post("/runs", json={"workflow": "nap", "params": {"key": "hunter2-hunter2"}})
    problem(response, 422, "invalid_parameters")
    assert "hunter2" not in response.text
    run = await start(api, params={"key": "secret:NAP_KEY"})
    assert run["params"]["key"] == "secret:NAP_KEY"
    assert "hunter2" not in str(await bus.story(run["run_id"]))
    assert "hunter2" not in plane.log()


async def test_runs_are_listed_by_filter_and_page(api: httpx.AsyncClient) -> None:
    ids = [(await start(api, params={"seconds": 4321}))["run_id"] for _ in range(3)]
    query = {"q": "4321", "limit": "2", "sort": "created_at", "status": "pending,running"}
    first = (await api.get("/runs", params=query)).json()
    assert [run["run_id"] for run in first["items"]] == ids[:2]
    assert first["total"] == 3
    second = (await api.get("/runs", params={**query, "cursor": first["next_cursor"]})).json()
    assert ([run["run_id"] for run in second["items"]], second["next_cursor"]) == (ids[2:], None)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"status": "dead"}, "status"),
        ({"sort": "size"}, "sort"),
        ({"cursor": "x"}, "cursor"),
        ({"limit": "0"}, "limit"),
        ({"started_after": "yesterday"}, "started_after"),
        ({"stuck": "maybe"}, "stuck"),
        ({"statsu": "failed"}, "statsu"),
        ({"min_seq": "-1"}, "min_seq"),
    ],
)
async def test_a_filter_that_cannot_be_is_named(
    api: httpx.AsyncClient, query: dict[str, str], field: str
) -> None:
    document = problem(await api.get("/runs", params=query), 422, "invalid_input")
    assert document["errors"][0]["field"] == field


async def test_killing_a_pending_run_cancels_it_and_a_second_kill_changes_nothing(
    api: httpx.AsyncClient,
) -> None:
    run = await start(api)
    killed = await api.post(f"/runs/{run['run_id']}/kill", json={"reason": "wrong"}, params={"wait": LIMIT})
    assert (killed.status_code, killed.json()["run"]["status"]) == (200, "canceled")
    again = await api.post(f"/runs/{run['run_id']}/kill")
    assert again.status_code == 200
    assert again.json()["run"]["status"] == "canceled"
    story = (await api.get(f"/runs/{run['run_id']}/events")).json()["items"]
    assert [record["type"] for record in story] == ["StartRun", "KillRun", "RunCanceled", "CommandRejected"]
    assert story[-1]["data"]["code"] == "already_ended"
    assert story[-1]["command_id"] == again.json()["command_id"]


async def test_a_kill_of_a_held_run_goes_to_its_host_and_waits_for_the_proof(
    api: httpx.AsyncClient, bus: Bus
) -> None:
    run_id = (await start(api))["run_id"]
    await make_running(bus, api, run_id)
    at_once = await api.post(f"/runs/{run_id}/kill", json={"grace_seconds": 1})
    assert (at_once.status_code, at_once.json()["run"]["status"]) == (202, "running")
    seq, order = next((seq, one) for seq, one in await bus.story(run_id) if one.type == "KillRun")
    assert order.subject == f"rp.cmd.host.{HOST}.{run_id}"
    assert int(at_once.headers["runplane-seq"]) >= seq
    waiting = asyncio.create_task(api.post(f"/runs/{run_id}/kill", params={"wait": LIMIT}))
    terminating = RunTerminating(purpose="kill", method="graceful", grace_seconds=1)
    await tell(bus, run_id, terminating, cause=order)
    await tell(bus, run_id, RunKilled(receipt=receipt(command_id=order.id)), cause=order)
    killed = await waiting
    assert killed.status_code == 200
    assert killed.json()["run"]["kill_receipt"]["verified"] is True


async def test_a_run_that_nobody_knows_is_a_404(api: httpx.AsyncClient) -> None:
    for path in ("", "/events", "/steps", "/logs", "/resources", "/variables"):
        problem(await api.get(f"/runs/run_ffffffffffff{path}"), 404, "run_not_found")
    for order in ("kill", "restart", "force-complete", "pause", "continue", "step"):
        problem(await api.post(f"/runs/run_ffffffffffff/{order}"), 404, "run_not_found")
        problem(await api.post(f"/runs/nonsense/{order}"), 404, "run_not_found")


async def test_a_restart_makes_the_new_run_known_at_once_and_happens_once(api: httpx.AsyncClient) -> None:
    run_id = (await start(api, params={"seconds": 5}))["run_id"]
    response = await api.post(f"/runs/{run_id}/restart", json={"params": {"seconds": 6}})
    answer = response.json()
    assert response.status_code == 202
    assert (answer["run"]["run_id"], answer["new_run"]["run_id"]) == (run_id, answer["new_run_id"])
    assert (answer["new_run"]["params"], answer["new_run"]["restarted_from"]) == ({"seconds": 6}, run_id)
    again = problem(await api.post(f"/runs/{run_id}/restart"), 409, "already_restarted")
    assert again["new_run_id"] == answer["new_run_id"]


async def test_other_parameters_need_the_version_they_are_put_into(api: httpx.AsyncClient) -> None:
    await api.put("/workflows/passing", json=NAP)
    run_id = (await start(api, workflow="passing", params={"seconds": 5}))["run_id"]
    changed = {**NAP, "command": ["sleep", "infinity"]}
    assert (await api.put("/workflows/passing", json=changed)).json()["version"] == 2
    assert (await api.delete("/workflows/passing")).status_code == 204
    answer = (await api.post(f"/runs/{run_id}/restart", json={"params": {"seconds": 9}})).json()
    assert (answer["new_run"]["workflow_version"], answer["new_run"]["params"]) == (1, {"seconds": 9})
    response = await api.post(f"/runs/{answer['new_run_id']}/restart", json={"params": {"minutes": 9}})
    problem(response, 422, "invalid_parameters")


async def test_a_run_is_paused_and_goes_on(api: httpx.AsyncClient, bus: Bus) -> None:
    run_id = (await start(api))["run_id"]
    problem(await api.post(f"/runs/{run_id}/pause"), 409, "not_running")
    await make_running(bus, api, run_id)
    problem(await api.post(f"/runs/{run_id}/continue"), 409, "not_paused")

    at_once = await api.post(f"/runs/{run_id}/pause", json={"reason": "look"})
    assert (at_once.status_code, at_once.json()["run"]["status"]) == (202, "running")
    order = next(one for _, one in await bus.story(run_id) if one.type == "PauseRun")
    assert order.subject == f"rp.cmd.host.{HOST}.{run_id}"
    waiting = asyncio.create_task(api.post(f"/runs/{run_id}/pause", params={"wait": LIMIT}))
    await tell(bus, run_id, RunPaused(reason="look", processes=2), cause=order)
    paused = await waiting
    assert paused.status_code == 200
    assert (paused.json()["run"]["status"], paused.json()["run"]["held"]["reason"]) == ("paused", "look")

    waiting = asyncio.create_task(api.post(f"/runs/{run_id}/continue", params={"wait": LIMIT}))
    order = await ordered(bus, run_id, "ContinueRun")
    await tell(bus, run_id, RunContinued(held_seconds=1.5), cause=order)
    continued = (await waiting).json()["run"]
    assert (continued["status"], continued["held"]) == ("running", None)
    assert continued["attempts"][-1]["held_seconds"] == 1.5


async def test_breakpoints_are_set_before_the_start_and_their_conditions_checked(
    api: httpx.AsyncClient,
) -> None:
    points = ["step:*", {"location": "step:plan", "condition": "count > 3"}, "lina.py:42"]
    run_id = (await start(api, breakpoints=points))["run_id"]
    run = (await api.get(f"/runs/{run_id}")).json()
    assert [one["location"] for one in run["breakpoints"]] == ["step:*", "step:plan", "lina.py:42"]

    wanted = {"breakpoints": [{"location": "step:plan", "condition": "a == 1 or len(b) > 2"}]}
    answer = await api.put(f"/runs/{run_id}/breakpoints", json=wanted, params={"wait": LIMIT})
    assert answer.status_code == 200, answer.text
    assert answer.json()["run"]["breakpoints"] == wanted["breakpoints"]
    assert "no run of nap has reported this step" in answer.json()["notes"][0]

    for bad in ("count >", "__import__('os')", "[x for x in y]", "a.__class__", "open('x')"):
        body = {"breakpoints": [{"location": "step:plan", "condition": bad}]}
        refused = problem(await api.put(f"/runs/{run_id}/breakpoints", json=body), 422, "invalid_input")
        assert "is no condition" in refused["errors"][0]["message"]
        problem(await api.post("/runs", json={"workflow": "nap", **body}), 422, "invalid_input")
    for bad in ("plan", "step:", "lina.py", "lina.py:0"):
        problem(
            await api.put(f"/runs/{run_id}/breakpoints", json={"breakpoints": [bad]}), 422, "invalid_input"
        )
    await api.post(f"/runs/{run_id}/kill", params={"wait": LIMIT})
    problem(await api.put(f"/runs/{run_id}/breakpoints", json=wanted), 409, "already_ended")


async def test_a_held_run_shows_its_variables_and_they_are_changed(api: httpx.AsyncClient, bus: Bus) -> None:
    run_id = (await start(api))["run_id"]
    problem(await api.post(f"/runs/{run_id}/step"), 409, "not_paused")
    problem(await api.patch(f"/runs/{run_id}/variables", json={"name": "limit", "value": 5}), 409, "not_held")
    assert (await api.get(f"/runs/{run_id}/variables")).json() == {"held_at": None, "scopes": [], "stack": []}
    await make_running(bus, api, run_id)
    scopes = (
        scope_of("inputs", {"text": "x" * 5_000, "items": [*range(2_000)]}),
        scope_of("variables", {"limit": 3}),
    )
    seq = await tell(bus, run_id, RunPaused(at="step:plan", scopes=scopes))
    shown = (await api.get(f"/runs/{run_id}/variables", params={"min_seq": seq})).json()
    assert shown["held_at"] == "step:plan"
    text, items = shown["scopes"][0]["variables"]
    assert (text["type"], text["truncated"], text["bytes"]) == ("string", True, 5_002)
    assert items["value"][:3] == [0, 1, 2]
    assert len(json.dumps(items["value"])) < 4_000
    one = await api.get(
        f"/runs/{run_id}/variables", params={"scope": "inputs", "name": "text", "limit": 9_000}
    )
    assert one.json()["scopes"][0]["variables"][0]["value"] == "x" * 5_000
    problem(await api.get(f"/runs/{run_id}/variables", params={"scope": "locals"}), 404, "scope_not_found")
    problem(await api.get(f"/runs/{run_id}/variables", params={"name": "nothing"}), 404, "variable_not_found")

    unknown = await api.patch(f"/runs/{run_id}/variables", json={"name": "nothing", "value": 5})
    assert "limit" in problem(unknown, 409, "variable_not_found")["detail"]
    change = {"name": "limit", "value": 5}
    waiting = asyncio.create_task(api.patch(f"/runs/{run_id}/variables", json=change, params={"wait": LIMIT}))
    order = await ordered(bus, run_id, "SetVariables")
    await tell(bus, run_id, VariablesSet(scope="variables", values={"limit": 5}), cause=order)
    changed = await waiting
    assert changed.status_code == 200
    assert changed.json()["scopes"][1]["variables"][0]["value"] == 5

    waiting = asyncio.create_task(api.post(f"/runs/{run_id}/step", params={"wait": LIMIT}))
    order = await ordered(bus, run_id, "StepRun")
    await tell(bus, run_id, RunContinued(until="boundary"), cause=order)
    await tell(bus, run_id, RunPaused(at="step:review"))
    stepped = await waiting
    assert (stepped.status_code, stepped.json()["run"]["held"]["at"]) == (200, "step:review")


async def test_a_large_value_is_read_by_its_digest(api: httpx.AsyncClient, bus: Bus) -> None:
    run_id = (await start(api))["run_id"]
    data = json.dumps(["x" * 400_000]).encode()
    digest = await bus.objects.keep(data)
    assert await bus.objects.keep(data) == digest
    found = await api.get(f"/runs/{run_id}/values/{digest}")
    assert (found.status_code, found.content, found.headers["content-type"]) == (
        200,
        data,
        "application/json",
    )
    problem(await api.get(f"/runs/{run_id}/values/{'0' * 64}"), 404, "value_not_found")
    problem(await api.get(f"/runs/{run_id}/values/nonsense"), 422, "invalid_input")


async def test_force_complete_declares_the_outcome_once(api: httpx.AsyncClient) -> None:
    run_id = (await start(api))["run_id"]
    body = {"outcome": "completed", "reason": "the result is there"}
    response = await api.post(f"/runs/{run_id}/force-complete", json=body, params={"wait": LIMIT})
    assert (response.status_code, response.json()["run"]["status"]) == (200, "completed")
    seq = response.json()["run"]["seq"]
    again = await api.post(f"/runs/{run_id}/force-complete", json=body)
    assert (again.status_code, again.json()["run"]["seq"]) == (200, seq)
    other = await api.post(f"/runs/{run_id}/force-complete", json={"outcome": "failed"})
    assert problem(other, 409, "already_ended")["run_status"] == "completed"
    moved = {"outcome": "failed", "replace": True}
    response = await api.post(f"/runs/{run_id}/force-complete", json=moved, params={"wait": LIMIT})
    assert (response.status_code, response.json()["run"]["status"]) == (200, "failed")


async def test_many_are_killed_by_selector(api: httpx.AsyncClient) -> None:
    await api.put("/workflows/herd", json=NAP)
    ids = {(await start(api, workflow="herd"))["run_id"] for _ in range(3)}
    order = {"selector": {"workflow": "herd"}, "reason": "all of them", "dry_run": True}
    dry = await api.post("/runs:kill", json=order)
    assert dry.status_code == 200
    assert {one["run_id"] for one in dry.json()["results"]} == ids
    killed = await api.post("/runs:kill", json={**order, "dry_run": False})
    assert (killed.status_code, killed.json()["matched"]) == (202, 3)
    assert {one["result"] for one in killed.json()["results"]} == {"accepted"}
    for run_id in ids:
        response = await api.post(f"/runs/{run_id}/kill", params={"wait": LIMIT})
        assert response.json()["run"]["status"] == "canceled"
    for selector in ({}, {"workflow": None}, {"size": 3}):
        response = await api.post("/runs:kill", json={"selector": selector, "reason": "x"})
        assert problem(response, 422, "invalid_input")["errors"][0]["field"].startswith("selector")


async def test_a_run_as_it_was(api: httpx.AsyncClient) -> None:
    run = await start(api)
    await api.post(f"/runs/{run['run_id']}/kill", params={"wait": LIMIT})
    before = await api.get(f"/runs/{run['run_id']}", params={"at_seq": run["seq"]})
    assert before.json()["status"] == "pending"
    earlier = {"at": "2020-01-01T00:00:00Z"}
    problem(await api.get(f"/runs/{run['run_id']}", params=earlier), 404, "run_not_found")


async def test_a_read_waits_for_the_position_it_asks_for(api: httpx.AsyncClient, bus: Bus) -> None:
    run_id = (await start(api))["run_id"]
    ahead = await bus.last_seq() + 1
    reading = asyncio.create_task(api.get(f"/runs/{run_id}", params={"min_seq": ahead}))
    seq = await tell(bus, run_id, claim().data)
    run = (await reading).json()
    assert (seq, run["status"]) == (ahead, "starting")
    response = await api.get("/runs", params={"min_seq": seq + 1000})
    assert problem(response, 503, "position_not_reached")["position"] >= seq


async def test_steps_are_folded_from_the_story(api: httpx.AsyncClient, bus: Bus) -> None:
    run_id = (await start(api))["run_id"]
    await make_running(bus, api, run_id)
    await tell(bus, run_id, StepStarted(name="plan", index=0, inputs={"epic": "X"}))
    await tell(bus, run_id, StepCompleted(name="plan", index=0, result=[1], duration_seconds=2))
    seq = await tell(bus, run_id, StepStarted(name="act", index=1))
    steps = (await api.get(f"/runs/{run_id}/steps", params={"min_seq": seq})).json()["items"]
    assert [(step["name"], step["state"]) for step in steps] == [("plan", "completed"), ("act", "started")]
    assert (steps[0]["inputs"], steps[0]["result"]) == ({"epic": "X"}, [1])


# Idempotency


async def test_the_same_key_has_one_effect_and_one_answer(api: httpx.AsyncClient) -> None:
    key = {"Idempotency-Key": "start-once"}
    body = {"workflow": "nap", "params": {"seconds": 777}}
    answers = await asyncio.gather(*(api.post("/runs", json=body, headers=key) for _ in range(8)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.text for answer in answers}) == 1
    assert sorted(answer.headers.get("idempotency-replayed", "") for answer in answers) == [""] + ["true"] * 7
    assert (await api.get("/runs", params={"q": "777"})).json()["total"] == 1
    other = await api.post("/runs", json={"workflow": "nap", "params": {"seconds": 778}}, headers=key)
    problem(other, 422, "idempotency_key_reused")
    elsewhere = await api.post(f"/runs/{answers[0].json()['run_id']}/kill", headers=key)
    problem(elsewhere, 422, "idempotency_key_reused")


async def test_a_refused_request_leaves_its_key_free(api: httpx.AsyncClient) -> None:
    key = {"Idempotency-Key": "mended"}
    problem(await api.post("/runs", json={"workflow": "nop"}, headers=key), 404, "workflow_not_found")
    assert (await api.post("/runs", json={"workflow": "nap"}, headers=key)).status_code == 201


@pytest.mark.usefixtures("plane")  # which registers the workflow with the broker
async def test_one_effect_also_when_the_control_plane_is_killed_between(
    broker: BrokerProcess, tmp_path: Path
) -> None:
    plane = ControlPlaneProcess(tmp_path / "home", broker)
    plane.start()
    try:
        async with plane.client() as api:
            run = (await api.post("/runs", json={"workflow": "nap"}, headers={"Idempotency-Key": "S"})).json()
            at = f"/runs/{run['run_id']}"
            restart = await api.post(f"{at}/restart", json={"reason": "a"}, headers={"Idempotency-Key": "R"})
            assert restart.status_code == 202
        plane.kill()
        for file in (plane.home / "control_plane").glob("idempotency*"):
            file.unlink()  # as if the answers had not reached the disk
        plane.start()
        async with plane.client() as api:
            key = {"Idempotency-Key": "S"}
            again = await api.post("/runs", json={"workflow": "nap"}, headers=key)
            assert (again.status_code, again.json()) == (201, run)
            other = await api.post("/runs", json={"workflow": "nap", "debug": True}, headers=key)
            problem(other, 422, "idempotency_key_reused")
            key = {"Idempotency-Key": "R"}
            again = await api.post(f"{at}/restart", json={"reason": "a"}, headers=key)
            assert again.json()["new_run_id"] == restart.json()["new_run_id"]
            other = await api.post(f"{at}/restart", json={"reason": "b"}, headers=key)
            problem(other, 422, "idempotency_key_reused")
    finally:
        plane.stop()


# Registry


async def test_a_workflow_is_versioned_and_what_stands_is_not_registered_twice(
    api: httpx.AsyncClient,
) -> None:
    first = await api.put("/workflows/versioned", json=NAP)
    assert (first.status_code, first.json()["version"]) == (201, 1)
    problem(await api.put("/workflows/versioned", json={**NAP, "name": "other"}), 409, "name_differs")
    same = await api.put("/workflows/versioned", json={**NAP, "name": "versioned"})
    assert (same.status_code, same.json()) == (200, first.json())
    second = await api.put("/workflows/versioned", json={**NAP, "timeout": "30m"})
    assert (second.status_code, second.json()["version"]) == (200, 2)
    assert second.json()["definition"]["timeout"] == 1800
    assert (await api.get("/workflows/versioned")).json()["version"] == 2
    assert (await api.delete("/workflows/versioned")).status_code == 204
    problem(await api.get("/workflows/versioned"), 404, "workflow_not_found")
    problem(await api.delete("/workflows/versioned"), 404, "workflow_not_found")
    anew = await api.put("/workflows/versioned", json=NAP)
    assert (anew.status_code, anew.json()["version"]) == (201, 3)
    versions = (await api.get("/workflows/versioned/versions")).json()["items"]
    assert [view["version"] for view in versions] == [1, 2, 3]


async def test_versions_applied_at_the_same_time_are_all_kept(api: httpx.AsyncClient) -> None:
    bodies = [{**NAP, "description": f"number {number}"} for number in range(6)]
    answers = await asyncio.gather(*(api.put("/workflows/contended", json=body) for body in bodies))
    assert {answer.status_code for answer in answers} == {200, 201}
    assert sorted(answer.json()["version"] for answer in answers) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"command": []}, "command"),
        ({"command": ["a\x00b"]}, "command"),
        ({"comand": ["x"]}, "comand"),
        ({"workspace": "here"}, "workspace"),
        ({"params": {"type": "array"}}, "params.type"),
        ({"params": {"properties": {"a": {"type": "strnig"}}}}, "params.properties.a.type"),
        ({"params": {"properties": {"a": {"$ref": "http://example.org/x"}}}}, "params.properties.a.$ref"),
        ({"params": {"properties": {"a": {"type": "string", "default": 3}}}}, "params.properties.a.default"),
        ({"timeout": "soon"}, "timeout"),
    ],
)
async def test_a_workflow_that_cannot_work_is_refused_by_field(
    api: httpx.AsyncClient, change: dict[str, Any], field: str
) -> None:
    response = await api.put("/workflows/wrong", json={"command": ["true"], **change})
    errors = problem(response, 422, "invalid_input")["errors"]
    assert errors[0]["field"] == field, errors


# Records


async def test_the_audit_log_is_read_forward_and_from_its_end(api: httpx.AsyncClient) -> None:
    run_id = (await start(api))["run_id"]
    last = (await api.get("/events", params={"limit": 1})).json()
    assert last["items"][0]["run_id" if "run_id" in last["items"][0] else "subject"].endswith(run_id)
    first = (await api.get("/events", params={"since_seq": 0, "limit": 2})).json()
    assert [record["seq"] for record in first["items"]] == [1, 2]
    assert first["next_since_seq"] == 2
    starts = (await api.get("/events", params={"type": "StartRun", "run_id": run_id})).json()["items"]
    assert [record["actor"] for record in starts] == [{"principal": "operator", "surface": "api"}]
    problem(await api.get("/events", params={"type": "RunExploded"}), 422, "invalid_input")


async def events_of(response: httpx.Response) -> AsyncIterator[dict[str, str]]:
    fields: dict[str, str] = {}
    async for line in response.aiter_lines():
        if line == "":
            if "data" in fields:
                yield fields
            fields = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(": ")
            fields[name] = value


async def test_the_stream_resumes_without_loss(api: httpx.AsyncClient) -> None:
    run = await start(api)
    at = f"/runs/{run['run_id']}"
    async with asyncio.timeout(LIMIT), api.stream("GET", "/stream", params={"run_id": run["run_id"]}) as live:
        assert live.headers["content-type"].startswith("text/event-stream")
        events = events_of(live)
        await api.post(f"{at}/kill")
        seen = [await anext(events), await anext(events)]
    assert [event["event"] for event in seen] == ["KillRun", "RunCanceled"]
    assert json.loads(seen[1]["data"])["run"]["status"] == "canceled"
    assert json.loads(seen[1]["data"])["record"]["seq"] == int(seen[1]["id"])
    await api.post(f"{at}/kill")
    headers = {"Last-Event-ID": seen[0]["id"]}
    query = {"run_id": run["run_id"]}
    async with asyncio.timeout(LIMIT), api.stream("GET", "/stream", params=query, headers=headers) as resumed:
        events = events_of(resumed)
        names = [(await anext(events))["event"] for _ in range(2)]
    assert names == ["RunCanceled", "CommandRejected"]
    query = {"types": "RunCanceled,StartRun", "run_id": run["run_id"], "since_seq": str(run["seq"] - 1)}
    async with asyncio.timeout(LIMIT), api.stream("GET", "/stream", params=query) as chosen:
        events = events_of(chosen)
        names = [(await anext(events))["event"] for _ in range(2)]
    assert names == ["StartRun", "RunCanceled"]
    problem(await api.get("/stream", params={"types": "Nonsense"}), 422, "invalid_input")


async def test_a_slow_reader_of_the_stream_misses_nothing(api: httpx.AsyncClient, bus: Bus) -> None:
    run_id = (await start(api))["run_id"]
    await make_running(bus, api, run_id)
    count = 3000
    query = {"run_id": run_id, "types": "StepStarted"}
    async with asyncio.timeout(60), api.stream("GET", "/stream", params=query) as live:
        for begin in range(0, count, 100):
            told = (tell(bus, run_id, StepStarted(name="s", index=begin + i)) for i in range(100))
            await asyncio.gather(*told)
        events = events_of(live)
        ids = [int((await anext(events))["id"]) for _ in range(count)]
    assert ids == sorted(set(ids))


# Output


async def write(
    bus: Bus, run_id: str, text: bytes, offset: int, stream: str = "stdout", **headers: str
) -> None:
    where = {"Rp-Offset": str(offset), "Rp-Time": "2026-03-01T12:00:00+00:00", **headers}
    await bus.publish_bytes(output(HOST, run_id, 1, stream), text, headers=where)


async def test_output_is_text_without_control_sequences(api: httpx.AsyncClient, bus: Bus) -> None:
    run_id = (await start(api))["run_id"]
    await make_running(bus, api, run_id)
    pieces = [b"one\n", "tw\u00f6".encode()[:-1], "\u00f6".encode()[1:] + b"\x1b[3", b"1mred\x1b[0m\n"]
    offset = 0
    for piece in pieces:
        await write(bus, run_id, piece, offset)
        offset += len(piece)
    await write(bus, run_id, b"oops\n", 0, "stderr")
    at = f"/runs/{run_id}/logs"
    page = (await api.get(at)).json()
    assert (
        "".join(item["text"] for item in page["items"] if item["stream"] == "stdout") == "one\ntw\u00f6red\n"
    )
    assert page["next_offset"] == {"1/stdout": offset, "1/stderr": 5}
    plain = await api.get(at, headers={"Accept": "text/plain"}, params={"stream": "stdout"})
    assert (plain.text, plain.headers["content-type"]) == ("one\ntw\u00f6red\n", "text/plain; charset=utf-8")
    tail = await api.get(at, headers={"Accept": "text/plain"}, params={"tail": 1, "stream": "stdout"})
    assert tail.text == "tw\u00f6red\n"
    assert (await api.get(at, params={"stream": "stderr", "tail": 5})).json()["items"][0]["text"] == "oops\n"
    problem(await api.get(at, params={"stream": "stdin"}), 422, "invalid_input")


async def test_output_is_followed_until_the_run_has_ended(api: httpx.AsyncClient, bus: Bus) -> None:
    run_id = (await start(api))["run_id"]
    await make_running(bus, api, run_id)
    await write(bus, run_id, b"before\n", 0)
    query = {"follow": "true"}
    async with asyncio.timeout(LIMIT), api.stream("GET", f"/runs/{run_id}/logs", params=query) as live:
        events = events_of(live)
        assert json.loads((await anext(events))["data"])["text"] == "before\n"
        await write(bus, run_id, b"after\n", 7)
        assert json.loads((await anext(events))["data"])["text"] == "after\n"
        await tell(bus, run_id, RunTerminating(purpose="kill", method="force", grace_seconds=0))
        await tell(bus, run_id, RunKilled(receipt=receipt()))
        await write(bus, run_id, b"last\n", 13)
        await write(bus, run_id, b"", 18, **{"Rp-End": "1"})
        await write(bus, run_id, b"", 0, "stderr", **{"Rp-End": "1"})
        assert json.loads((await anext(events))["data"])["text"] == "last\n"
        assert (await anext(events))["event"] == "end"


# Health, access, the rest


async def test_health_tells_more_with_a_token(plane: ControlPlaneProcess, api: httpx.AsyncClient) -> None:
    async with httpx.AsyncClient(base_url=plane.url, trust_env=False) as anyone:
        assert (await anyone.get("/livez")).json() == {"status": "ok"}
        assert (await anyone.get("/readyz")).json() == {"status": "ready"}
        for path in (
            "/healthz",
            "/metrics",
            "/docs",
            "/openapi.json",
            "/mcp",
            "/",
            "/api/v1/runs",
            "/nothing",
        ):
            problem(await anyone.get(path), 401, "not_authenticated")
        page = await anyone.get("/", headers={"Accept": "text/html"})
        assert (page.status_code, "Access token" in page.text) == (401, True)
    health = (await api.get(f"{plane.url}/healthz")).json()
    checks = {check["name"]: check for check in health["checks"]}
    assert checks["durability"]["figures"] == {"sync_always": True}
    assert checks["projection"]["figures"]["lag"] == 0
    assert checks["disk"]["figures"]["stored_bytes"]["RUNPLANE_LOG"] > 0
    assert "not applicable" in checks["certificates"]["detail"]
    assert "runplane agent" in checks["hosts"]["todo"]
    for check in health["checks"]:
        assert bool(check["todo"]) == (check["status"] != "ok"), check
    await start(api)
    await api.get("/runs/run_00000000000f")
    figures = (await api.get(f"{plane.url}/metrics")).text
    assert 'runplane_runs{status="pending"}' in figures
    assert 'route="/api/v1/runs/{run_id}"' in figures
    assert "<code>/api/v1/runs</code>" in (await api.get(f"{plane.url}/docs")).text


async def test_what_is_not_there_is_a_problem(api: httpx.AsyncClient) -> None:
    problem(await api.get("/nothing"), 404, "not_found")
    response = await api.request("PATCH", "/workflows/nap")
    problem(response, 405, "method_not_allowed")
    assert response.headers["allow"] == "DELETE, GET, PUT"
    assert (await api.options("/runs")).headers["allow"] == "GET, POST"


async def test_hosts_are_listed(api: httpx.AsyncClient) -> None:
    assert (await api.get("/hosts")).json() == {"items": []}
    problem(await api.get("/hosts/nowhere"), 404, "host_not_found")
    problem(await api.get("/hosts/NO_HOST"), 404, "host_not_found")


async def test_the_read_model_is_what_the_log_says(api: httpx.AsyncClient) -> None:
    report = (await api.post("/rebuild")).json()
    assert (report["equal"], report["first_difference"]) == (True, None)
    assert report["position"] > 0


async def test_a_broker_that_is_away_is_a_503_and_nothing_is_lost(tmp_path: Path) -> None:
    broker = BrokerProcess(tmp_path / "broker")
    broker.start()
    plane = ControlPlaneProcess(tmp_path / "home", broker)
    plane.start()
    try:
        async with plane.client() as api:
            await api.put("/workflows/nap", json=NAP)
            broker.kill()
            starting = asyncio.create_task(
                api.post("/runs", json={"workflow": "nap"}, headers={"Idempotency-Key": "patient"})
            )
            assert (await api.get("/workflows/nap")).status_code == 200
            problem(await starting, 503, "unavailable")
            assert (await api.get(f"{plane.url}/readyz")).status_code == 503
            broker.start()
            async with asyncio.timeout(LIMIT):
                while True:
                    answer = await api.post(
                        "/runs", json={"workflow": "nap"}, headers={"Idempotency-Key": "patient"}
                    )
                    if answer.status_code == 201:
                        break
                    problem(answer, 503, "unavailable")
            assert (await api.get("/runs")).json()["total"] == 1
    finally:
        plane.stop()
        broker.stop()


# MCP


INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}
MCP_HEADERS = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-06-18"}


def mcp_servers_of(plane: ControlPlaneProcess) -> list[int]:
    """The pids of the MCP servers of this control plane."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            environment, command = (entry / "environ").read_bytes(), (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if plane.home.as_posix().encode() in environment and b"mcp_server" in command:
            found.append(int(entry.name))
    return found


async def test_mcp_is_served_with_the_callers_own_token(
    plane: ControlPlaneProcess, api: httpx.AsyncClient
) -> None:
    at = f"{plane.url}/mcp"
    greeting = await api.post(at, json=INITIALIZE, headers=MCP_HEADERS)
    assert greeting.status_code == 200
    assert "automagik-workflows" in greeting.text
    run = await start(api)
    call = {"name": "kill_workflow", "arguments": {"run_id": run["run_id"], "reason": "by a tool"}}
    order = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": call}
    answer = await api.post(at, json=order, headers=MCP_HEADERS)
    assert '"confirmed":true' in answer.text.replace("\\", "").replace(" ", "")
    story = (await api.get(f"/runs/{run['run_id']}/events")).json()["items"]
    kill = next(record for record in story if record["type"] == "KillRun")
    assert kill["actor"] == {"principal": "operator", "surface": "mcp"}
    async with httpx.AsyncClient(trust_env=False) as anyone:
        problem(await anyone.post(at, json=INITIALIZE, headers=MCP_HEADERS), 401, "not_authenticated")


async def test_the_mcp_server_is_started_again_and_dies_with_the_control_plane(
    broker: BrokerProcess, tmp_path: Path
) -> None:
    plane = ControlPlaneProcess(tmp_path / "home", broker)
    plane.start()
    try:
        assert mcp_servers_of(plane) == []
        async with plane.client() as api:
            at = f"{plane.url}/mcp"
            assert (await api.post(at, json=INITIALIZE, headers=MCP_HEADERS)).status_code == 200
            (pid,) = mcp_servers_of(plane)
            os.kill(pid, signal.SIGKILL)
            async with asyncio.timeout(LIMIT):
                while (again := await api.post(at, json=INITIALIZE, headers=MCP_HEADERS)).status_code != 200:
                    problem(again, 503, "unavailable")  # it was dying when the request reached it
        assert len(mcp_servers_of(plane)) == 1
    finally:
        plane.kill()
    async with asyncio.timeout(LIMIT):
        while mcp_servers_of(plane):
            await asyncio.sleep(0.02)
