"""The dashboard in a real browser against the whole system, with real processes."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from playwright.async_api import Page, expect

from tests.browser import LIMIT, MARKUP, Plane, dashboard, dialog, nothing_injected, row, within
from tests.running_system import RunningSystem

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def system(system_of_module: RunningSystem) -> RunningSystem:
    return system_of_module


@pytest.fixture
async def plane(system: RunningSystem, tmp_path: Path) -> AsyncIterator[Plane]:
    async with dashboard(system, tmp_path) as plane:
        yield plane


async def test_a_run_is_watched_from_the_table_to_its_page_live_and_as_text(plane: Plane) -> None:
    async with plane.viewer() as page:
        await expect(page).to_have_url(f"{plane.system.url}/runs")  # the token has left the address
        run_id = await plane.start(text=MARKUP)

        await expect(row(page, run_id)).to_contain_text("running")
        await expect(row(page, run_id).locator(".rp-progress-text")).to_contain_text(
            f"1 / 4 steps · {MARKUP}"
        )
        await expect(row(page, run_id).locator('[col-id="memory"]')).to_contain_text("MiB")
        await expect(page.locator(".rp-totals")).to_contain_text(re.compile(r"[1-9]\d* running"))
        await nothing_injected(page)

        await row(page, run_id).locator('[col-id="host"]').click()

        await expect(page).to_have_url(f"{plane.system.url}/runs/{run_id}")
        output = page.get_by_role("log", name="Output of the run")
        await expect(output).to_contain_text(MARKUP)
        await expect(output.locator(".rp-stderr")).to_contain_text(f"to stderr {MARKUP}")
        await expect(output.get_by_text("red plain", exact=True)).to_be_visible()
        assert "after the gate" not in await output.inner_text()
        plane.gate.touch()
        await expect(output).to_contain_text("after the gate")
        await expect(output).to_contain_text("a question without a line end?")
        await expect(page.locator(".rp-say")).to_have_text("3 / 4 steps · past the gate")
        await page.get_by_role("tab", name="Details").click()
        await expect(page.locator(".rp-panel:visible")).to_contain_text(MARKUP)
        await page.get_by_role("tab", name="Events").click()
        await expect(page.locator(".rp-event", has_text="ProgressReported").first).to_contain_text(MARKUP)
        await nothing_injected(page)

        Path(f"{plane.gate}.end").touch()
        await expect(page.get_by_role("status").first).to_have_text("completed")
        await expect(page.locator(".rp-say")).to_contain_text("exit code 0")
        await page.get_by_role("link", name="Runs", exact=True).click()
        await expect(row(page, run_id)).to_contain_text("completed")
    assert plane.foreign_requests() == []
    assert plane.troubles == []


async def test_kill_asks_shows_the_receipt_and_the_log_says_who(plane: Plane) -> None:
    run_id = await plane.running(text="-")
    async with plane.viewer() as page:
        await page.goto(f"{plane.system.url}/runs/{run_id}")
        await page.get_by_role("button", name="Kill").click()
        await expect(dialog(page)).to_contain_text("its whole process tree is ended")
        await page.keyboard.press("Escape")
        await expect(dialog(page)).to_have_count(0)
        assert (await plane.run(run_id))["status"] == "running"

        await page.get_by_role("button", name="Kill").press("Enter")
        await expect(page.get_by_label("Reason")).to_be_focused()
        await page.keyboard.type(f"stuck {MARKUP}")
        await dialog(page).get_by_role("button", name="Kill").click()

        await expect(dialog(page)).to_contain_text("Every process is verified gone")
        await expect(dialog(page)).to_contain_text(f"operator (through dashboard): stuck {MARKUP}")
        run = await plane.run(run_id)
        assert (run["status"], run["kill_receipt"]["verified"]) == ("killed", True)
        assert run["kill_receipt"]["via"] == "dashboard"
        kill = next(record for record in await plane.records(run_id) if record["type"] == "KillRun")
        assert kill["actor"] == {"principal": "operator", "surface": "dashboard"}
        assert kill["data"]["reason"] == f"stuck {MARKUP}"
        await page.keyboard.press("Escape")
        await expect(dialog(page)).to_have_count(0)
        await expect(page.locator(".rp-say")).to_contain_text(f"killed by operator: stuck {MARKUP}")
        await expect(page.get_by_role("button", name="Kill")).to_be_hidden()
        await nothing_injected(page)
    assert plane.troubles == []


async def test_restart_with_a_changed_parameter_goes_to_the_new_run_and_a_second_tab_is_refused(
    plane: Plane,
) -> None:
    run_id = await plane.running(text="before")
    async with plane.viewer() as page:
        second = await plane.open_page(page.context)
        for one in (page, second):
            await one.goto(f"{plane.system.url}/runs/{run_id}")
            await one.get_by_role("button", name="Restart").click()
            await expect(dialog(one)).to_contain_text("only when that is verified does the new run start")
        parameters = page.get_by_label("Parameters")
        await parameters.fill('{"text": ')
        await dialog(page).get_by_role("button", name="Restart").click()
        await expect(dialog(page)).to_contain_text("The parameters are not JSON")
        await parameters.fill(json.dumps({"text": "after"}))
        await dialog(page).get_by_role("button", name="Restart").click()

        await expect(page.get_by_role("link", name=f"Restarted from {run_id}")).to_be_visible()
        new_run_id = page.url.rpartition("/")[2]
        assert new_run_id != run_id
        assert (await plane.until(new_run_id, "running"))["params"] == {"text": "after"}
        assert (await plane.run(run_id))["restarted_as"] == new_run_id
        await dialog(second).get_by_role("button", name="Restart").click()
        await expect(second.locator(".q-notification.bg-negative")).to_contain_text(new_run_id)
        await expect(second.get_by_role("link", name=f"Restarted as {new_run_id}")).to_be_visible()
    assert plane.troubles == []


async def test_a_run_is_paused_and_goes_on(plane: Plane) -> None:
    run_id = await plane.running("sleeper")
    async with plane.viewer() as page:
        await page.goto(f"{plane.system.url}/runs/{run_id}")
        await page.get_by_role("button", name="Pause").click()
        await expect(page.get_by_role("button", name="Continue")).to_be_visible()
        run = await plane.run(run_id)
        assert (run["status"], run["held"]["via"]) == ("paused", "dashboard")
        await page.get_by_role("button", name="Continue").click()
        await expect(page.get_by_role("button", name="Pause")).to_be_visible()
        assert (await plane.run(run_id))["status"] == "running"
    assert plane.troubles == []


async def test_force_complete_declares_and_a_pending_run_is_canceled(plane: Plane) -> None:
    declared, pending = await plane.running("sleeper"), await plane.start("sleeper", pool="nobody")
    async with plane.viewer() as page:
        await page.goto(f"{plane.system.url}/runs/{declared}")
        await page.get_by_role("button", name="Force-complete").click()
        await dialog(page).get_by_role("button", name="completed").click()
        await page.get_by_label("Reason").fill("seen to be done")
        await dialog(page).get_by_role("button", name="Declare").click()
        await expect(dialog(page)).to_contain_text("declared completed by operator: seen to be done")
        run = await plane.run(declared)
        assert (run["status"], run["override"]["via"]) == ("completed", "dashboard")

        await page.goto(f"{plane.system.url}/runs/{pending}")
        await expect(page.locator(".rp-say")).to_contain_text("waiting for a host of pool nobody")
        await page.get_by_role("button", name="Kill").click()
        await expect(dialog(page)).to_contain_text("will never start")
        await dialog(page).get_by_role("button", name="Kill").click()
        await expect(dialog(page)).to_contain_text(f"{pending} is canceled")
        assert (await plane.run(pending))["status"] == "canceled"
    assert plane.troubles == []


async def test_logging_in_and_who_is_kept_out(plane: Plane) -> None:
    async with plane.viewer(log_in=False) as page:
        await page.goto(f"{plane.system.url}/?status=open")
        await page.get_by_label("Access token").fill("not a token")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("alert")).to_be_visible()
        await page.get_by_label("Access token").fill(plane.system.token)
        await page.keyboard.press("Enter")
        await expect(page).to_have_url(f"{plane.system.url}/runs?status=open")
        await expect(page.locator(".rp-grid")).to_be_visible()
        cookies = await page.context.cookies()

    cookie = "; ".join(f"{one['name']}={one['value']}" for one in cookies)
    assert await handshake(plane.system.url, cookie, plane.system.url) == 101
    assert await handshake(plane.system.url, cookie, "http://elsewhere.example") == 403
    assert await handshake(plane.system.url, cookie, None) == 403
    assert await handshake(plane.system.url, None, plane.system.url) == 401
    for path in (
        "/",
        "/runs",
        "/hosts",
        "/workflows",
        "/workflows/quick",
        "/audit",
        "/runs/run_000000000000",
        "/_nicegui_ws/socket.io/?EIO=4&transport=polling",
    ):
        async with httpx.AsyncClient() as anonymous:
            assert (await anonymous.get(plane.system.url + path)).status_code == 401


async def handshake(url: str, cookie: str | None, origin: str | None) -> int:
    """The status of the answer to a websocket's opening request."""
    host, _, port = url.removeprefix("http://").partition(":")
    headers = {
        "Host": f"{host}:{port}", "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Cookie": cookie, "Origin": origin,
    }  # fmt: skip
    lines = [f"{name}: {value}" for name, value in headers.items() if value is not None]
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        request = ["GET /_nicegui_ws/socket.io/?EIO=4&transport=websocket HTTP/1.1", *lines, "", ""]
        writer.write("\r\n".join(request).encode())
        answer = await asyncio.wait_for(reader.readline(), LIMIT)
        return int(answer.split()[1])
    finally:
        writer.close()


async def test_the_page_comes_back_by_itself_when_the_control_plane_was_killed(plane: Plane) -> None:
    run_id = await plane.running("sleeper")
    async with plane.viewer() as page:
        await expect(row(page, run_id)).to_contain_text("running")

        plane.system.kill_part("control_plane")
        await asyncio.to_thread(plane.system.wait_ready)

        another = await plane.start("sleeper")
        await expect(row(page, another)).to_contain_text("running")
        await expect(row(page, run_id)).to_contain_text("running")


async def test_three_hundred_runs_with_the_keyboard_and_on_a_phone(plane: Plane) -> None:
    wanted = await plane.start("sleeper", pool="nobody")
    for _ in range(15):
        await asyncio.gather(*(plane.start("quick", pool="nobody") for _ in range(20)))
    async with plane.viewer() as page:
        await expect(page.locator(".rp-totals")).to_contain_text(re.compile(r"30\d pending"))
        began = time.monotonic()
        await page.keyboard.press("/")
        await page.keyboard.type(wanted)
        await expect(page.locator(".ag-center-cols-container .ag-row")).to_have_count(1)
        await within(lambda: _address_has(page, f"q={wanted}"), "the search is in the address")
        assert time.monotonic() - began < 5
        await page.locator(".ag-header-cell").first.focus()
        await page.keyboard.press("ArrowDown")
        await expect(row(page, wanted).locator(".ag-cell").first).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(page).to_have_url(f"{plane.system.url}/runs/{wanted}")
        await page.goto(f"{plane.system.url}/runs?q=nothing+is+called+so")
        await expect(page.locator(".rp-nothing")).to_contain_text("No run is like that")

    async with plane.viewer(width=390) as page:
        await page.goto(f"{plane.system.url}/runs?status=pending&q={wanted}")
        await expect(row(page, wanted)).to_contain_text("waiting for a host of pool nobody")
        assert await page.evaluate("document.documentElement.scrollWidth") <= 390
        await row(page, wanted).click()
        await expect(page.get_by_role("button", name="Kill")).to_be_in_viewport()
        assert await page.evaluate("document.documentElement.scrollWidth") <= 390
        await page.goto(f"{plane.system.url}/runs/run_000000000000")
        await expect(page.get_by_text("There is no run run_000000000000")).to_be_visible()
    assert plane.troubles == []


async def _address_has(page: Page, part: str) -> bool:
    return re.search(rf"[?&]{part}\b", page.url) is not None
