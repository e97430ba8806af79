from collections.abc import Callable
from typing import Any

import httpx
import pytest

from runplane.client import Place, wire
from runplane.client.wire import Wire
from runplane.contract.errors import (
    BrokerRefused,
    CallerError,
    Conflict,
    InvalidInput,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    RunplaneError,
    SystemFault,
    Unavailable,
)

pytestmark = pytest.mark.anyio

Handler = Callable[[httpx.Request], httpx.Response]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "PATIENCE", 0.5)
    monkeypatch.setattr(wire, "FIRST_PATIENCE", 0.15)
    monkeypatch.setattr(wire, "FIRST_DELAY", 0.01)
    monkeypatch.setattr(wire, "LONGEST_DELAY", 0.05)


def wire_of(handler: Handler, *, is_supervised: bool = False) -> Wire:
    place = Place(url="http://plane.test", token="rp_x", is_supervised=is_supervised)
    return Wire(place, timeout=5.0, surface="cli", transport=httpx.MockTransport(handler))


def problem(answered: int, /, **members: Any) -> httpx.Response:
    return httpx.Response(answered, json=members, headers={"Content-Type": "application/problem+json"})


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, CallerError), (401, NotAuthenticated), (403, NotAllowed), (404, NotFound), (409, Conflict),
        (415, CallerError), (422, InvalidInput), (500, SystemFault), (503, Unavailable),
    ],
)  # fmt: skip
async def test_each_status_is_an_error_of_the_contract(status: int, kind: type[RunplaneError]) -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        return problem(
            status, code="narrow", detail="what to do", status=status, new_run_id="run_1", errors=[1]
        )

    with pytest.raises(kind) as raised:
        await wire_of(answer).ask("GET", "/api/v1/runs")
    error = raised.value
    assert type(error) is kind
    assert (error.error_code, error.message) == ("narrow", "what to do")
    assert error.fields == {"new_run_id": "run_1", "errors": [1]}


async def test_a_code_of_the_broker_is_its_own_error() -> None:
    with pytest.raises(BrokerRefused):
        await wire_of(lambda _: problem(500, code="broker_refused", detail="too old")).ask("GET", "/x")


async def test_what_is_no_problem_document_is_told_as_it_is() -> None:
    with pytest.raises(SystemFault, match=r"plane\.test answered 500: <html>proxy"):
        await wire_of(lambda _: httpx.Response(500, text="<html>proxy")).ask("GET", "/x")


async def test_what_is_no_json_is_not_runplane() -> None:
    with pytest.raises(Unavailable, match="RUNPLANE_URL"):
        await wire_of(lambda _: httpx.Response(200, text="hello")).ask("GET", "/x")


async def test_an_order_whose_answer_was_lost_is_sent_again_under_the_same_key() -> None:
    keys: list[str] = []

    def flaky(request: httpx.Request) -> httpx.Response:
        keys.append(request.headers["Idempotency-Key"])
        if len(keys) < 3:
            raise httpx.ReadError("connection reset")
        return httpx.Response(201, json={"fine": True})

    assert await wire_of(flaky).ask("POST", "/api/v1/runs", body={"workflow": "lina"}) == {"fine": True}
    assert len(keys) == 3
    assert len(set(keys)) == 1


async def test_a_plane_that_starts_again_is_waited_for() -> None:
    answers = [problem(503, code="unavailable", detail="starting"), httpx.Response(200, json=[1])]
    assert await wire_of(lambda _: answers.pop(0)).ask("GET", "/api/v1/hosts") == [1]


async def test_a_plane_nobody_ever_heard_of_is_given_up_soon_and_says_what_to_type() -> None:
    tries: list[int] = []

    def refuse(_: httpx.Request) -> httpx.Response:
        tries.append(1)
        raise httpx.ConnectError("refused") from ConnectionRefusedError(111, "Connection refused")

    with pytest.raises(Unavailable, match=r"connection refused.*`runplane up`"):
        await wire_of(refuse).ask("GET", "/api/v1/hosts")
    unknown = len(tries)
    with pytest.raises(Unavailable):
        await wire_of(refuse, is_supervised=True).ask("GET", "/api/v1/hosts")
    assert 1 < unknown < len(tries) - unknown < 40


async def test_what_did_not_come_in_time_is_not_asked_again() -> None:
    tries: list[int] = []

    def slow(_: httpx.Request) -> httpx.Response:
        tries.append(1)
        raise httpx.ReadTimeout("too slow")

    with pytest.raises(Unavailable, match="in time"):
        await wire_of(slow).ask("GET", "/x")
    assert len(tries) == 1


async def test_a_conflict_is_not_asked_again() -> None:
    tries: list[int] = []

    def refuse(_: httpx.Request) -> httpx.Response:
        tries.append(1)
        return problem(409, code="already_ended", detail="it ended")

    with pytest.raises(Conflict):
        await wire_of(refuse).ask("POST", "/x")
    assert len(tries) == 1


@pytest.mark.parametrize("url", ["nonsense", "ftp://host", "http://[::1", "http://"])
async def test_what_is_no_address_is_said_at_once(url: str) -> None:
    with pytest.raises(InvalidInput, match="RUNPLANE_URL"):
        Wire(Place(url=url), timeout=1.0, surface="cli")
