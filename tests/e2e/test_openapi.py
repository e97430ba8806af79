import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from runplane.bus import Bus
from runplane.contract.events import HostJoined
from runplane.contract.run import Actor
from runplane.contract.subjects import host_presence
from runplane.stamp import stamp
from tests.broker_process import BrokerProcess
from tests.control_plane_process import REPOSITORY, ControlPlaneProcess

HOST = "worker-1"
LIMIT = 280.0
STREAMS = "stream$|logs$"
SHORT = ("--max-examples", "8", "--request-timeout", "1")
SETTING = {"command": ["true"], "params": {"type": "object", "additionalProperties": True}}


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
    yield plane
    plane.stop()


@pytest.fixture
async def configuration(plane: ControlPlaneProcess, broker: BrokerProcess, tmp_path: Path) -> Path:
    """A run, a workflow and a host that are there, so that more than 404s are tried."""
    bus = await Bus.connect(broker.url, name="test-agent")
    joined = HostJoined(
        host=HOST,
        agent_id="agent-1",
        boot_id="boot-1",
        pools=("default",),
        slots=2,
        version="1",
        platform="linux",
        cpus=2,
        memory_bytes=2**30,
        mechanism="subreaper",
    )
    actor = Actor(principal=HOST, surface="policy")
    await bus.publish(stamp(joined, subject=host_presence(HOST), source=f"host/{HOST}", actor=actor))
    await bus.close()
    async with plane.client() as api:
        (await api.put("/workflows/lina", json=SETTING)).raise_for_status()
        run_id = (await api.post("/runs", json={"workflow": "lina"})).json()["run_id"]
    file = tmp_path / "schemathesis.toml"
    file.write_text(
        f'[parameters]\n"path.run_id" = "{run_id}"\n"path.host_id" = "{HOST}"\n"path.name" = "lina"\n'
    )
    return file


@pytest.mark.anyio
@pytest.mark.slow
@pytest.mark.timeout(LIMIT + 20)
@pytest.mark.parametrize(
    "choice",
    [
        ["--exclude-path-regex", STREAMS, "--phases", "examples,fuzzing", "--max-examples", "10"],
        ["--exclude-path-regex", f"{STREAMS}|workflows/.name.$", "--phases", "coverage"],
        ["--include-path-regex", STREAMS, "--phases", "examples,fuzzing", *SHORT],
    ],
    ids=["fuzzing", "coverage", "streams"],
)
async def test_what_the_api_does_is_what_its_document_says(
    plane: ControlPlaneProcess, configuration: Path, choice: list[str]
) -> None:
    program = Path(sys.executable).with_name("schemathesis")
    done = subprocess.run(  # noqa: ASYNC221 — nothing else runs in this loop
        [
            *(str(program), "--config-file", str(configuration), "run", f"{plane.url}/openapi.json"),
            *("--header", f"Authorization: Bearer {plane.token}"),
            *("--checks", "all", "--continue-on-failure", "--no-color", "--warnings", "off", *choice),
        ],
        cwd=configuration.parent,
        env={
            **os.environ,
            "PYTHONPATH": str(REPOSITORY),
            "SCHEMATHESIS_HOOKS": "tests.e2e.openapi_hooks",
        },
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-8000:]}\n{done.stderr[-2000:]}\n{plane.log()}"
    assert "Traceback" not in plane.log()


def test_the_document_tells_every_route_of_the_interface(plane: ControlPlaneProcess) -> None:
    document = httpx.get(f"{plane.url}/openapi.json", headers=plane.headers, trust_env=False).json()
    assert document["openapi"].startswith("3.1")
    assert set(document["components"]["securitySchemes"]) == {"bearer", "apiKey"}
    told = {
        (method.upper(), path.removeprefix("/api/v1"))
        for path, methods in document["paths"].items()
        for method in methods
    }
    assert told >= {
        ("POST", "/runs"),
        ("GET", "/runs"),
        ("POST", "/runs:kill"),
        ("GET", "/runs/{run_id}"),
        ("POST", "/runs/{run_id}/kill"),
        ("POST", "/runs/{run_id}/restart"),
        ("POST", "/runs/{run_id}/force-complete"),
        ("POST", "/runs/{run_id}/pause"),
        ("POST", "/runs/{run_id}/continue"),
        ("GET", "/runs/{run_id}/steps"),
        ("GET", "/runs/{run_id}/logs"),
        ("GET", "/runs/{run_id}/resources"),
        ("GET", "/runs/{run_id}/events"),
        ("GET", "/hosts"),
        ("GET", "/hosts/{host_id}"),
        ("GET", "/workflows"),
        ("GET", "/workflows/{name}"),
        ("PUT", "/workflows/{name}"),
        ("DELETE", "/workflows/{name}"),
        ("GET", "/workflows/{name}/versions"),
        ("GET", "/events"),
        ("GET", "/stream"),
        ("GET", "/livez"),
        ("GET", "/readyz"),
        ("GET", "/healthz"),
        ("GET", "/metrics"),
    }
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert operation.get("summary"), (method, path)
            assert "500" in operation["responses"], (method, path)
            for status, response in operation["responses"].items():
                assert "Runplane-Seq" in response["headers"], (method, path, status)
