"""Somebody is told: a real control plane, broker and receivers that fail, hang, redirect and are gone."""

import asyncio
import base64
import hashlib
import hmac
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import pytest

from runplane.bus import Bus
from runplane.contract.events import ConditionRaised, RunCompleted, RunFailed, RunKilled, RunLost
from runplane.contract.run import Condition, Failure
from runplane.contract.value import Value
from tests.broker_process import BrokerProcess
from tests.control_plane_process import ControlPlaneProcess
from tests.plane import put
from tests.records import HOST, NOON, claim, receipt, record, spawned, start
from tests.webhook_receiver import Received, Receiver, Reply

pytestmark = pytest.mark.anyio

LIMIT = 20.0
KEY = b"k" * 32
SECRET = f"whsec_{base64.b64encode(KEY).decode()}"
PASSWORD = "hunter2"
RETRY = {"first": "200ms", "factor": 2, "longest": "1s", "attempts": 3}
LOST = RunLost(failure=Failure(kind="host", message="the host rebooted"))
STUCK = ConditionRaised(condition=Condition(type="stuck", verdict="idle", since=NOON, detail="it waits"))


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    broker = BrokerProcess(tmp_path_factory.mktemp("broker"))
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture(scope="module")
def plane(broker: BrokerProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlaneProcess]:
    plane = ControlPlaneProcess(tmp_path_factory.mktemp("plane"), broker)
    (plane.home / "secrets").mkdir()
    (plane.home / "secrets" / "HOOK").write_text(SECRET)
    plane.start()
    yield plane
    plane.stop()


@pytest.fixture
async def api(plane: ControlPlaneProcess) -> AsyncIterator[httpx.AsyncClient]:
    async with plane.client() as client:
        yield client


@pytest.fixture
async def bus(broker: BrokerProcess) -> AsyncIterator[Bus]:
    bus = await Bus.connect(broker.url, name="test")
    yield bus
    await bus.close()


def configure(plane: ControlPlaneProcess, receiver: Receiver, *names: str, **changes: Any) -> None:
    """Webhooks whose paths are their names."""
    targets = [
        {
            "name": name,
            "url": receiver.url(f"/{name}").replace("//", f"//user:{PASSWORD}@"),
            "secret": "secret:HOOK",
            "timeout": "1s",
            **changes,
        }
        for name in names
    ]
    document = json.dumps({"targets": targets, "retry": RETRY, "dashboard": "https://dash.example"})
    (plane.home / "notifications.yaml").write_text(document)


def run_id(number: int) -> str:
    return f"run_{number:012x}"


async def told(bus: Bus, number: int, *facts: Value) -> None:
    """A run is started, and then this happens to it."""
    one = run_id(number)
    begun = [
        record(data, run_id=one, host=HOST, attempt=1) for data in (claim().data, spawned().data, *facts)
    ]
    await put(bus, [start(one), *begun])


async def results(api: httpx.AsyncClient, count: int, *targets: str) -> list[dict[str, Any]]:
    """What the log says became of the notifications to these targets, once there are so many."""
    deadline = time.monotonic() + LIMIT
    while True:
        found: list[dict[str, Any]] = []
        for kind in ("NotificationDelivered", "NotificationFailed"):
            items = (await api.get("/events", params={"type": kind})).json()["items"]
            found += [item for item in items if item["data"]["target"] in targets]
        if len(found) >= count:
            return sorted(found, key=lambda item: item["seq"])
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.05)


def verified(one: Received) -> dict[str, Any]:
    """The body, once its signature is that of the specification."""
    headers = one.headers
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + one.body
    expected = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 60
    body: dict[str, Any] = json.loads(one.body)
    return body


async def test_who_wants_to_know_is_told_once_and_the_log_says_so(
    plane: ControlPlaneProcess, receiver: Receiver, bus: Bus, api: httpx.AsyncClient
) -> None:
    configure(plane, receiver, "all")
    again = STUCK.condition.model_copy(update={"verdict": "spinning"})
    killed = RunKilled(receipt=receipt(reason="it hangs"))
    await told(bus, 1, STUCK, ConditionRaised(condition=again), killed, RunFailed(failure=LOST.failure))
    await told(bus, 2, RunCompleted())
    await told(bus, 3, LOST)
    found = await results(api, 3, "all")
    assert [item["type"] for item in found] == ["NotificationDelivered"] * 3
    bodies = {body["type"]: body for body in map(verified, receiver.of("/all"))}
    assert sorted(bodies) == ["run.killed", "run.lost", "run.stuck"]
    assert len(receiver.of("/all")) == 3
    stuck = bodies["run.stuck"]["data"]
    assert (stuck["run_id"], stuck["verdict"]) == (run_id(1), "idle")
    assert stuck["url"] == f"https://dash.example/runs/{run_id(1)}"
    assert f"runplane diagnose {run_id(1)}" in stuck["next"]
    story = (await api.get(f"/runs/{run_id(1)}/events")).json()["items"]
    about = [item["data"]["about"] for item in story if item["type"] == "NotificationDelivered"]
    assert sorted(about) == ["killed", "stuck"]
    run = (await api.get(f"/runs/{run_id(1)}")).json()
    assert (run["status"], run["anomalies"]) == ("killed", 1)  # the failure that came late
    assert PASSWORD not in json.dumps(found) + plane.log()
    assert SECRET not in plane.log()
    assert (await api.post("/rebuild")).json()["equal"]


async def test_each_way_to_fail_ends_and_holds_up_no_other(
    plane: ControlPlaneProcess, receiver: Receiver, bus: Bus, api: httpx.AsyncClient
) -> None:
    receiver.replies = {
        "/heals": [Reply(status=500), Reply(status=503, headers={"Retry-After": "1"}), Reply(status=200)],
        "/broken": [Reply(status=500, body=b"x" * 10_000_000)],
        "/gone": [Reply(status=410)],
        "/away": [Reply(status=302, headers={"Location": receiver.url("/secret-place")})],
        "/hangs": [Reply(hangs=True)],
    }
    names = ("hangs", "heals", "broken", "gone", "away", "good")
    configure(plane, receiver, *names)
    began = time.monotonic()
    await told(bus, 4, LOST)
    receiver.until(
        lambda: len([one for one in receiver.received if one.path == "/good"]) == 1, "the good one is told"
    )
    found = {item["data"]["target"]: (item["type"], item["data"]) for item in await results(api, 6, *names)}
    assert time.monotonic() - began < LIMIT
    expected = {
        "good": ("NotificationDelivered", 1, 204),
        "heals": ("NotificationDelivered", 3, 200),
        "broken": ("NotificationFailed", 3, 500),
        "gone": ("NotificationFailed", 1, 410),
        "away": ("NotificationFailed", 3, 302),
        "hangs": ("NotificationFailed", 3, None),
    }
    assert {
        name: (kind, data["attempts"], data["status"]) for name, (kind, data) in found.items()
    } == expected
    assert receiver.of("/secret-place") == []
    assert "redirects are not followed" in found["away"][1]["error"]
    assert found["hangs"][1]["error"] == "no answer within 1 s"
    for path in ("/heals", "/broken"):
        assert len({one.headers["webhook-id"] for one in receiver.of(path)}) == 1
        assert len({one.body for one in receiver.of(path)}) == 1
    health = {check["name"]: check for check in (await api.get(f"{plane.url}/healthz")).json()["checks"]}
    assert "not reached: hangs, broken, gone, away" in health["notifications"]["detail"]
    assert "runplane notify test hangs" in health["notifications"]["todo"]
    metrics = (await api.get(f"{plane.url}/metrics")).text
    assert 'runplane_notifications_total{result="failed",target="gone"} 1.0' in metrics


async def test_a_kill_of_everything_loses_none_and_keeps_the_id(
    plane: ControlPlaneProcess,
    receiver: Receiver,
    bus: Bus,
    api: httpx.AsyncClient,
    broker: BrokerProcess,
) -> None:
    receiver.replies = {"/waits": [Reply(status=500), Reply()], "/cut": [Reply(hangs=True), Reply()]}
    configure(plane, receiver, "waits", "cut")
    await told(bus, 5, LOST)
    seen: Callable[[], bool] = lambda: {"/waits", "/cut"} <= {one.path for one in receiver.received}  # noqa: E731
    receiver.until(seen, "both are told a first time")
    plane.kill()
    broker.restart()
    plane.start()
    found = await results(api, 2, "waits", "cut")
    assert [item["type"] for item in found] == ["NotificationDelivered"] * 2
    for path in ("/waits", "/cut"):
        assert len({one.headers["webhook-id"] for one in receiver.of(path)}) == 1
        assert len(receiver.of(path)) >= 2


async def test_a_test_says_what_became_of_it(
    plane: ControlPlaneProcess, receiver: Receiver, api: httpx.AsyncClient
) -> None:
    receiver.replies = {"/wrong": [Reply(status=401)]}
    configure(plane, receiver, "right", "wrong")

    def notify(*arguments: str) -> subprocess.CompletedProcess[str]:
        env = {"RUNPLANE_URL": plane.url, "RUNPLANE_TOKEN": plane.token, "PATH": "/usr/bin"}
        return subprocess.run(
            [sys.executable, "-m", "runplane.cli", "notify", *arguments],
            env=env, capture_output=True, text=True, timeout=LIMIT, check=False,
        )  # fmt: skip

    good = notify("test", "right")
    assert (good.returncode, good.stderr) == (0, "right: delivered (204)\n")
    assert verified(receiver.of("/right")[0])["type"] == "test"
    both = notify("test")
    assert both.returncode == 1
    assert "wrong: not delivered: 401 Unauthorized" in both.stderr
    nobody = notify("test", "nobody")
    assert (nobody.returncode, "there are: right, wrong" in nobody.stderr) == (3, True)
    shown = notify()
    assert "http://127.0.0.1" in shown.stdout
    assert PASSWORD not in shown.stdout
    listed = json.loads(notify("--json").stdout)["targets"]
    assert [(one["name"], one["delivered"], one["failed"]) for one in listed] == [
        ("right", 2, 0),
        ("wrong", 0, 1),
    ]
    told_of = (await api.get("/events", params={"type": "NotificationFailed"})).json()["items"]
    assert (told_of[-1]["actor"]["surface"], told_of[-1]["data"]["about"]) == ("cli", "test")
    (plane.home / "notifications.yaml").write_text("targets: [{name: x}]")
    bad = notify()
    assert (bad.returncode, "give either url" in bad.stderr) == (1, True)


async def test_apprise_is_told_too(
    plane: ControlPlaneProcess, receiver: Receiver, bus: Bus, api: httpx.AsyncClient
) -> None:
    pytest.importorskip("apprise")
    address = receiver.url("/chat").replace("http://", f"json://user:{PASSWORD}@")
    (plane.home / "secrets" / "CHAT").write_text(address)
    (plane.home / "notifications.yaml").write_text("targets: [{name: chat, apprise: 'secret:CHAT'}]")
    await told(bus, 6, LOST)
    (found,) = await results(api, 1, "chat")
    assert (found["type"], found["data"]["target"]) == ("NotificationDelivered", "chat")
    body = json.loads(receiver.of("/chat")[0].body)
    assert "the host rebooted" in body["message"]
    assert f"$ runplane restart {run_id(6)}" in body["message"]
    assert PASSWORD not in json.dumps(found) + plane.log()
