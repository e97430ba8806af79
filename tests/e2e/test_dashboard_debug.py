"""Debugging in a real browser: a run is held, looked into, changed and stepped from its page, by its keys too."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.browser import MARKUP, Plane, dashboard, nothing_injected
from tests.running_system import RunningSystem

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(180)]

STEPS = """
import sys, runplane

@runplane.step
def plan(text, options):
    return text

@runplane.step
def cut(text, limit):
    return text[:limit]

shown = runplane.variables(limit=3, title=sys.argv[1])
print("result:", cut(plan(sys.argv[1], {"deep": [1, {"name": "x"}]}), shown["limit"]), flush=True)
"""
LINES = """\
import sys


def double(number):
    return number * 2


def main():
    markup = sys.argv[1]
    data = {"items": [1, 2]}
    for count in range(5):
        total = double(count)
    print("total", total, len(markup), flush=True)


main()
"""


@pytest.fixture(scope="module")
def system(system_of_module: RunningSystem) -> RunningSystem:
    return system_of_module


@pytest.fixture
async def plane(system: RunningSystem, tmp_path: Path) -> AsyncIterator[Plane]:
    (tmp_path / "steps.py").write_text(STEPS)
    (tmp_path / "lines.py").write_text(LINES)
    async with dashboard(system, tmp_path) as plane:
        for name in ("steps", "lines"):
            definition = {
                "name": name,
                "command": [sys.executable, f"{name}.py", "{text}"],
                "params": {"type": "object", "properties": {"text": {"type": "string", "default": MARKUP}}},
                "workspace": str(tmp_path),
                "sdk": True,
            }
            answer = await plane.http.put(f"/workflows/{name}", json=definition)
            assert answer.is_success, answer.text
        yield plane


async def test_a_run_is_walked_from_step_to_step(plane: Plane) -> None:
    async with plane.viewer() as page:
        await page.goto(f"{plane.system.url}/workflows/steps")
        await page.get_by_label("Hold at").fill("step:*")
        await page.get_by_role("button", name="Start", exact=True).click()
        debug = page.locator(".rp-debug")
        await expect(debug.locator(".rp-debug-where")).to_contain_text("Held at step:plan")
        await expect(page.get_by_role("tab", name="Debug")).to_have_attribute("aria-selected", "true")
        inputs = debug.get_by_role("tree", name="inputs")
        await expect(inputs).to_contain_text(MARKUP[:40])
        await inputs.locator("summary").first.click()
        await expect(inputs.locator(".rp-members").first).to_contain_text("deep")
        await nothing_injected(page)
        await expect(debug.get_by_role("button", name="Step into")).to_be_disabled()

        await page.keyboard.press("F10")
        await expect(debug.locator(".rp-debug-where")).to_contain_text("Held at step:cut")
        watch = debug.get_by_label("Watch an expression")
        await watch.fill("limit * 2")
        await watch.press("Enter")
        await expect(debug.get_by_role("list", name="Watched expressions")).to_contain_text("6")
        await debug.get_by_role("button", name="Change limit").first.click()
        field = debug.get_by_label("New value of limit").first
        await field.fill("5")
        await field.press("Enter")
        await expect(debug.get_by_role("tree", name="inputs")).to_contain_text("5")
        await debug.get_by_role("button", name="Take step:* away").click()
        await expect(debug.get_by_role("list", name="Breakpoints").get_by_role("listitem")).to_have_count(0)
        await page.keyboard.press("F5")
        await expect(page.locator(".rp-top .rp-pill")).to_have_text("completed")
        await page.get_by_role("tab", name="Output").click()
        await expect(page.get_by_role("log", name="Output of the run")).to_contain_text(
            f"result: {MARKUP[:5]}"
        )
    assert plane.foreign_requests() == []
    assert plane.troubles == []


async def test_a_program_is_walked_from_line_to_line(plane: Plane) -> None:
    answer = await plane.http.post("/runs", json={"workflow": "lines", "breakpoints": ["lines.py:16"]})
    run_id = answer.json()["run_id"]
    async with plane.viewer() as page:
        await page.goto(f"{plane.system.url}/runs/{run_id}")
        debug = page.locator(".rp-debug")
        where = debug.locator(".rp-debug-where")
        await expect(where).to_contain_text("Held at lines.py:16")
        await debug.get_by_label("Where to hold it").fill("lines.py:12")
        await debug.get_by_label("Only if").fill("count > 2")
        await debug.get_by_role("button", name="Add").click()
        await expect(debug.get_by_role("list", name="Breakpoints").get_by_role("listitem")).to_have_count(2)
        await debug.get_by_label("Where to hold it").fill("lines.py:2")
        await debug.get_by_role("button", name="Add").click()
        await expect(page.locator(".q-notification")).to_contain_text("this line has no code")
        await page.keyboard.press("F5")
        await expect(where).to_contain_text("Held at lines.py:12")
        await expect(debug.locator(".rp-source-held")).to_contain_text("total = double(count)")
        await expect(debug.get_by_role("tree", name="locals")).to_contain_text("count")
        await nothing_injected(page)
        watch = debug.get_by_label("Watch an expression")
        await watch.fill("count * 100")
        await watch.press("Enter")
        await expect(debug.get_by_role("list", name="Watched expressions")).to_contain_text("300")
        await page.keyboard.press("F11")
        await expect(where).to_contain_text("Held at lines.py:5")
        await page.keyboard.press("Shift+F11")
        await expect(where).to_contain_text("Held at lines.py:12")
        await expect(debug.get_by_role("list", name="Watched expressions")).to_contain_text("300")
        await debug.get_by_role("button", name="Breakpoint at line 13").click()
        await expect(debug.get_by_role("list", name="Breakpoints")).to_contain_text("lines.py:13")
        await plane.http.post(f"/runs/{run_id}/kill", json={"force": True}, params={"wait": 20})
        await expect(page.locator(".rp-top .rp-pill")).to_have_text("killed")
        await expect(where).to_have_text("It is over.")
    assert plane.foreign_requests() == []
    assert plane.troubles == []
