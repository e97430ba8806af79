"""The figures of a real control plane: by Prometheus' conventions, bounded, in agreement with the events."""

import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from runplane.bus import Bus
from runplane.client import Client
from runplane.contract.envelope import Envelope
from runplane.contract.events import (
    ConditionRaised,
    HostJoined,
    RunClaimed,
    RunCompleted,
    RunFailed,
    RunKilled,
)
from runplane.contract.run import Condition, Failure
from runplane.contract.subjects import host_presence, telemetry
from runplane.contract.telemetry import HostTelemetry
from runplane.stamp import now
from tests.broker_process import BrokerProcess
from tests.control_plane_process import ControlPlaneProcess
from tests.plane import put
from tests.records import HOST, NOON, receipt, record, spawned, start

pytestmark = pytest.mark.anyio

DEPLOY = Path(__file__).parents[2] / "deploy"
RUNS = 200
BASE_UNITS = ("_seconds", "_bytes")
NOT_A_UNIT = ("_ms", "_milliseconds", "_minutes", "_hours", "_kb", "_mib", "_megabytes", "_percent")
METRIC = re.compile(r"\b(?:runplane|process)_[a-z0-9_]+\b|\bup\b")


def story(number: int) -> list[Envelope]:
    """A run of one of 70 workflows that ends in one of three ways, or is stuck."""
    run_id = f"run_{number:012x}"
    claimed = RunClaimed(host=HOST, attempt=1, boot_id="b", agent_id="a")
    condition = Condition(type="stuck", verdict="idle" if number % 3 else "unheard_of", since=NOON)
    endings: list[Any] = [
        RunCompleted(),
        RunFailed(failure=Failure(kind="exit", message="exit 1")),
        RunKilled(receipt=receipt()),
        ConditionRaised(condition=condition),
    ]
    return [
        start(run_id, workflow=f"w{number % 70}"),
        *(
            record(data, run_id=run_id, host=HOST, attempt=1)
            for data in (claimed, spawned().data, endings[number % 4])
        ),
    ]


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    broker = BrokerProcess(tmp_path_factory.mktemp("broker"))
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture(scope="module")
def plane(broker: BrokerProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlaneProcess]:
    plane = ControlPlaneProcess(tmp_path_factory.mktemp("plane"), broker)
    (plane.home / "notifications.yaml").write_text(
        "targets: [{name: chat, apprise: 'env:CHAT', on: [stuck]}]"
    )
    plane.start()
    yield plane
    plane.stop()


@pytest.fixture(scope="module")
async def told(plane: ControlPlaneProcess, broker: BrokerProcess) -> int:  # noqa: ARG001 — it declares the streams
    """The log holds a host and many mixed runs; the position after them."""
    bus = await Bus.connect(broker.url, name="test")
    joined = HostJoined(
        host=HOST, agent_id="a", boot_id="b", pools=("default",), slots=4, version="0", platform="Linux",
        cpus=2, memory_bytes=8 * 2**30, mechanism="cgroup",
    )  # fmt: skip
    records = [record(joined, host=HOST).model_copy(update={"subject": host_presence(HOST)})]
    for number in range(RUNS):
        records += story(number)
    seq = await put(bus, records)
    beat = HostTelemetry(host=HOST, agent_id="a", boot_id="b", time=now(), load=(0.5, 0.2, 0.1), cpus=2)
    await bus.publish_bytes(telemetry(HOST), beat.model_dump_json().encode())
    await bus.publish_bytes(telemetry("h2"), b"nonsense")
    await bus.close()
    return seq


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def api(plane: ControlPlaneProcess, told: int) -> AsyncIterator[httpx.AsyncClient]:
    async with plane.client() as client:
        (await client.get("/runs", params={"min_seq": told})).raise_for_status()
        await client.get("/runs/run_000000000000")
        yield client


async def scrape(api: httpx.AsyncClient) -> dict[str, Metric]:
    answer = await api.get(f"{api.base_url.copy_with(path='/metrics')}")
    answer.raise_for_status()
    return {family.name: family for family in text_string_to_metric_families(answer.text)}


def values(family: Metric) -> dict[tuple[str, ...], float]:
    """By label values, in the order of the labels' names."""
    return {
        tuple(value for _, value in sorted(sample.labels.items())): sample.value
        for sample in family.samples
        if not sample.name.endswith(("_created", "_bucket", "_sum"))
    }


async def streamed(plane: ControlPlaneProcess, count: int) -> Counter[str]:
    """The types of the records that the stream tells, from the first on."""
    found: Counter[str] = Counter()
    async with Client(plane.url, plane.token) as client, aclosing(client.stream(after_seq=0)) as changes:
        async for change in changes:
            assert change.record is not None
            found[change.record.type] += 1
            if found.total() == count:
                break
    return found


async def test_names_and_help_follow_the_conventions(api: httpx.AsyncClient) -> None:
    families = await scrape(api)
    assert len(families) > 25
    for name, family in families.items():
        assert re.fullmatch(r"(runplane|process)_[a-z0-9_]+", name), name
        assert len(family.documentation) > 10, name
        assert not name.endswith(NOT_A_UNIT), name
        names = {sample.name for sample in family.samples}
        if family.type == "counter":
            assert names <= {f"{name}_total"}, names
        elif family.type == "gauge":
            assert not name.endswith(("_total", "_count", "_sum", "_bucket")), name
        elif family.type == "histogram":
            assert name.endswith(BASE_UNITS), name
            bounds = [sample.labels["le"] for sample in family.samples if sample.name.endswith("_bucket")]
            assert "+Inf" in bounds
        for sample in family.samples:
            assert not any("run_0" in value for value in sample.labels.values()), sample


async def test_series_stay_bounded(api: httpx.AsyncClient) -> None:
    families = await scrape(api)
    workflows = {labels[1] for labels in values(families["runplane_run_endings"])}
    for number in range(40):
        await api.get(f"/nothing/{number}")
        await api.get(f"/runs/run_{number:012x}/steps")
    again = await scrape(api)
    assert len(workflows) == 51  # the first fifty of 60, and the others together
    routes = {sample.labels["route"] for sample in again["runplane_http_requests"].samples}
    assert len(routes) < 15
    stuck = values(again["runplane_runs_stuck"])
    assert sum(stuck.values()) == RUNS // 4
    is_slow = stuck["host_unreachable",] > 0  # then the host, which beats once, has fallen silent
    assert stuck["other",] == (0 if is_slow else 17)


async def test_figures_agree_with_the_events_also_after_a_restart(
    api: httpx.AsyncClient, plane: ControlPlaneProcess
) -> None:
    items, since = [], 0
    while True:
        page = (await api.get("/events", params={"since_seq": since, "limit": 1000})).json()
        items += page["items"]
        if page["next_since_seq"] is None:
            break
        since = page["next_since_seq"]
    counted = Counter(item["type"] for item in items)
    assert await streamed(plane, len(items)) == counted
    families = await scrape(api)
    found = values(families["runplane_events"]) | values(families["runplane_commands"])
    assert {kind: count for (kind,), count in found.items() if count} == counted
    endings = values(families["runplane_run_endings"])
    statuses = {labels[0]: count for labels, count in values(families["runplane_runs"]).items()}
    for outcome in ("completed", "failed", "killed"):
        assert (
            sum(n for labels, n in endings.items() if labels[0] == outcome) == statuses[outcome] == RUNS / 4
        )
    starts = values(families["runplane_run_start_duration_seconds"])
    assert starts == {(): RUNS}
    plane.kill()
    plane.start()
    again = await scrape(api)
    for name in (
        "runplane_events",
        "runplane_commands",
        "runplane_run_endings",
        "runplane_run_start_duration_seconds",
    ):
        assert again[name].samples == families[name].samples, name


async def test_every_metric_of_dashboard_and_alerts_is_in_a_scrape(api: httpx.AsyncClient) -> None:
    families = await scrape(api)
    known = {sample.name for family in families.values() for sample in family.samples} | {"up"}
    dashboard = json.loads((DEPLOY / "grafana" / "runplane.json").read_text())
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    for panel in panels:
        assert panel["description"], panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}", panel["title"]
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)
    rules = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())["groups"][0]["rules"]
    for rule in rules:
        assert rule["labels"]["severity"] in ("warning", "critical"), rule["alert"]
        assert rule["annotations"]["summary"], rule["alert"]
        assert rule["annotations"]["description"], rule["alert"]
    expressions = [target["expr"] for panel in panels for target in panel["targets"]]
    expressions += [rule["expr"] for rule in rules]
    for expression in expressions:
        names = set(METRIC.findall(re.sub(r'"[^"]*"', '""', expression)))
        assert names, expression
        unknown = names - known - NOT_HERE
        assert not unknown, f"{expression}: {unknown}"
        for opening, closing in ("()", "[]", "{}"):
            assert expression.count(opening) == expression.count(closing), expression


NOT_HERE = {
    "runplane_broker_certificate_expiry_timestamp_seconds",  # where the broker speaks TLS
}
