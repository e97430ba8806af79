"""The parts of a run's page in a real browser: what is wrong, the diagnosis, steps, charts, output, events."""

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Route, expect

from tests.browser import MARKUP, Plane, dashboard, nothing_injected
from tests.running_system import RunningSystem

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(180)]

STEPPER = """
import json, os, sys, time
markup, gate = sys.argv[1:]
reports = open(os.path.join(os.environ["RUNPLANE_DIR"], "reports.jsonl"), "a", buffering=1)
def step(name, state, **more):
    reports.write(json.dumps({"step": name, "state": state, **more}) + "\\n")
step("plan " + markup, "started", inputs={"epic": markup})
step("plan " + markup, "completed", result={"found": 3})
step("broken", "started")
step("broken", "failed", error="it broke: " + markup)
step("wait", "started")
for number in range(300):
    print("line", number, "Needle" if number in (7, 250) else "hay")
print("complaint " + markup, file=sys.stderr, flush=True)
sys.stdout.flush()
def wait_for_the_gate():
    while not os.path.exists(gate):
        time.sleep(0.05)
wait_for_the_gate()
for number in range(5):
    print("after", number, flush=True)
step("wait", "completed")
sys.stdin.readline()
"""


@pytest.fixture(scope="module")
def system(system_of_module: RunningSystem) -> RunningSystem:
    return system_of_module


@pytest.fixture
async def plane(system: RunningSystem, tmp_path: Path) -> AsyncIterator[Plane]:
    script = tmp_path / "stepper.py"
    script.write_text(STEPPER)
    async with dashboard(system, tmp_path) as plane:
        definition = {
            "name": "stepper",
            "command": [sys.executable, str(script), "{text}", str(plane.gate)],
            "params": {"type": "object", "properties": {"text": {"type": "string", "default": "-"}}},
            "workspace": str(tmp_path),
            "stuck": {"silent": "1s"},
            "kill": {"grace": "0s"},
        }
        answer = await plane.http.put("/workflows/stepper", json=definition)
        assert answer.is_success, answer.text
        yield plane


async def test_a_dead_end_is_decided_on_its_page(plane: Plane) -> None:
    program = "import os, sys; sys.exit(3 if os.environ['RUNPLANE_ATTEMPT'] == '1' else 0)"
    definition = {
        "name": "dead-end",
        "command": [sys.executable, "-c", program],
        "recovery": {"chain": [{"do": "escalate"}]},
    }
    (await plane.http.put("/workflows/dead-end", json=definition)).raise_for_status()
    run_id = await plane.start("dead-end")
    async with plane.viewer() as page:
        await page.goto(f"{plane.system.url}/runs/{run_id}")
        await expect(page.locator(".rp-banner")).to_contain_text("attempt 1 failed: the main process ended")
        await expect(page.locator(".rp-banner")).to_contain_text(f"runplane decide {run_id}")
        await page.goto(f"{plane.system.url}/")
        await expect(page.locator(".rp-items")).to_contain_text(f"dead-end · {run_id}")
        await page.goto(f"{plane.system.url}/runs/{run_id}")
        await page.get_by_role("button", name="Decide …").click()
        await page.get_by_text("Another attempt, from the beginning").click()
        await page.get_by_label("Reason (kept in the log)").fill("the disk has room again")
        await page.get_by_role("button", name="Decide", exact=True).click()
        run = await plane.until(run_id, "completed")
        assert run["attempt"] == 2
        decided = next(one for one in await plane.records(run_id) if one["type"] == "DecideRun")
        assert decided["actor"]["surface"] == "dashboard"
        assert decided["data"]["reason"] == "the disk has room again"


async def test_a_stuck_run_says_why_and_its_steps_charts_and_events_are_there(plane: Plane) -> None:
    run_id = await plane.running("stepper", text=MARKUP)
    async with plane.viewer() as page:
        await page.goto(f"{plane.system.url}/runs/{run_id}")
        plane.gate.touch()
        banner = page.locator(".rp-banner")
        await expect(banner).to_contain_text("stuck: waiting for input")
        await expect(banner).to_contain_text("a read on standard input")
        await banner.get_by_role("button", name="Why?").click()
        await expect(page.get_by_role("tab", name="Diagnosis")).to_have_attribute("aria-selected", "true")
        seen = page.locator(".rp-diagnosis:visible")
        await expect(seen.locator(".rp-sentence")).to_contain_text("for input that nobody gives it")
        await expect(seen.locator(".rp-sentence")).to_contain_text("stepper.py:")
        await expect(seen.locator(".rp-stack .rp-own").first).to_contain_text("stepper.py:")
        await expect(seen.locator(".rp-process").first).to_contain_text(MARKUP)
        taken = [record for record in await plane.records(run_id) if record["type"] == "DiagnosisTaken"]
        asked = next(record for record in await plane.records(run_id) if record["type"] == "DiagnoseRun")
        assert len(taken) >= 2
        assert asked["actor"] == {"principal": "operator", "surface": "dashboard"}
        await nothing_injected(page)

        await page.get_by_role("tab", name="Steps").click()
        steps = page.get_by_role("list", name="Steps").get_by_role("listitem")
        await expect(steps).to_have_count(3)
        await expect(steps.nth(0)).to_contain_text(f"plan {MARKUP[:60]}")
        await expect(steps.nth(1)).to_contain_text("failed")
        await steps.nth(0).get_by_role("button").click()
        await expect(steps.nth(0).locator("pre")).to_contain_text(f'"epic": "{MARKUP}"')
        await expect(steps.nth(0).locator("pre")).to_contain_text('"found": 3')
        await nothing_injected(page)

        await page.get_by_role("tab", name="Resources").click()
        await expect(page.locator(".rp-panel:visible canvas")).to_have_count(3)
        await expect(page.locator(".rp-panel:visible")).to_contain_text("Last sample")

        await page.get_by_role("tab", name="Events").click()
        await page.get_by_label("Narrow the events").fill("StepFailed")
        shown = page.locator(".rp-event:visible")
        await expect(shown).to_have_count(1)
        await expect(shown).to_contain_text(f"it broke: {MARKUP}")
        await shown.get_by_role("link").click()
        await expect(page).to_have_url(re.compile(rf"/audit\?run={run_id}&seq=\d+"))
        await expect(page.locator(".rp-side .rp-pill")).to_have_text("running")
        await nothing_injected(page)
        await plane.http.post(f"/runs/{run_id}/kill", json={"force": True}, params={"wait": 20})
    assert plane.foreign_requests() == []
    assert plane.troubles == []


async def test_the_output_is_searched_narrowed_and_followed(plane: Plane) -> None:
    run_id = await plane.running("stepper", text=MARKUP)
    async with plane.viewer() as page:
        await page.goto(f"{plane.system.url}/runs/{run_id}")
        output = page.get_by_role("log", name="Output of the run")
        await expect(output).to_contain_text("line 299")
        await page.get_by_label("Search the output").fill("needle")
        found = page.get_by_role("search").get_by_role("status")
        await expect(found).to_have_text("2 of 2")
        await page.get_by_role("button", name="Next").click()
        await expect(found).to_have_text("1 of 2")
        await expect(output.get_by_text("line 7 Needle", exact=True)).to_be_in_viewport()
        await page.get_by_label("Search the output").press("Shift+Enter")
        await expect(found).to_have_text("2 of 2")
        await page.get_by_label("Match case").check()
        await expect(found).to_have_text("not found")
        await page.get_by_label("Search the output").fill("")

        await output.evaluate("element => { element.scrollTop = 0 }")
        plane.gate.touch()
        follow = page.locator(".rp-follow")
        await expect(follow).to_contain_text("5 new lines")
        await follow.click()
        await expect(output.get_by_text("after 4")).to_be_in_viewport()
        await expect(follow).to_be_hidden()

        await page.get_by_label("Streams").select_option("stderr")
        await expect(output.get_by_text(f"complaint {MARKUP}")).to_be_visible()
        await expect(output.get_by_text("line 299")).to_be_hidden()
        await page.get_by_label("Streams").select_option("")
        await expect(output.get_by_text("after 4")).to_be_visible()
        await nothing_injected(page)
        await plane.http.post(f"/runs/{run_id}/kill", json={"force": True}, params={"wait": 20})
    assert plane.troubles == []


async def test_on_a_phone_and_after_a_restart_of_the_control_plane(plane: Plane) -> None:
    run_id = await plane.running("stepper", text="-")
    async with plane.viewer(width=390) as page:
        await page.goto(f"{plane.system.url}/runs/{run_id}")
        for tab in ("Diagnosis", "Steps", "Resources", "Events", "Receipt", "Details"):
            await page.get_by_role("tab", name=tab).click()
            assert await page.evaluate("document.documentElement.scrollWidth") <= 390, tab
        plane.system.kill_part("control_plane")
        await asyncio.to_thread(plane.system.wait_ready)
        plane.gate.touch()
        await expect(page.locator(".rp-banner")).to_contain_text("waiting for input")
        await page.get_by_role("tab", name="Steps").click()
        await expect(page.get_by_role("list", name="Steps").get_by_role("listitem")).to_have_count(3)
        await plane.http.post(f"/runs/{run_id}/kill", json={"force": True}, params={"wait": 20})
        await expect(page.get_by_role("status").first).to_have_text("killed")


async def test_what_happens_before_the_browser_is_connected_is_shown(plane: Plane) -> None:
    """The page is made when it is asked for, and followed from when its scripts have come."""
    run_id = await plane.running("stepper", text="-")
    async with plane.viewer() as page:
        connected = asyncio.Event()

        async def hold(route: Route) -> None:
            await connected.wait()
            await route.continue_()

        await page.route(re.compile(r"/_nicegui/.*socket\.io.*\.js"), hold)
        going = asyncio.create_task(page.goto(f"{plane.system.url}/runs/{run_id}", wait_until="commit"))
        await going
        plane.gate.touch()
        while [one["type"] for one in await plane.records(run_id)].count("StepCompleted") < 2:
            await asyncio.sleep(0.05)
        connected.set()
        await page.get_by_role("tab", name="Steps").click()
        waited = page.get_by_role("list", name="Steps").get_by_role("listitem").nth(2)
        await expect(waited).to_contain_text("wait")
        await expect(waited).not_to_contain_text("running")
        await plane.http.post(f"/runs/{run_id}/kill", json={"force": True}, params={"wait": 20})
