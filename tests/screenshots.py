"""Pictures of every page of the dashboard, for the documentation: both themes, wide and narrow, of a real system.

    python -m tests.screenshots [DIRECTORY]        (default: docs/images; `make screenshots`)

Starts the system in a home of its own, has real runs get stuck, fail, complete and be killed, and looks at each page.
"""

import asyncio
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import httpx
from playwright.async_api import Browser, Page, async_playwright

from tests.browser import ARGUMENTS, CHROMIUM
from tests.running_system import REPOSITORY, RunningSystem

WIDTHS = {1440: 900, 390: 844}
THEMES = ("light", "dark")
PATIENCE_SECONDS = 60.0
STUCK = ("silent_api", "deadlock", "waits_for_child")
PAGES: dict[str, tuple[str, str | None]] = {
    "overview": ("/", None),
    "runs": ("/runs", None),
    "run": ("/runs/{stuck}", None),
    "run-diagnosis": ("/runs/{stuck}", "Diagnosis"),
    "run-steps": ("/runs/{lina}", "Steps"),
    "run-resources": ("/runs/{lina}", "Resources"),
    "run-receipt": ("/runs/{killed}", "Receipt"),
    "hosts": ("/hosts", None),
    "workflows": ("/workflows", None),
    "workflow": ("/workflows/lina", None),
    "audit": ("/audit?run={killed}&seq={seq}", None),
}
"""By name: the address, and the tab that is opened."""


def main() -> int:
    """Take them all."""
    directory = Path(sys.argv[1]) if len(sys.argv) > 1 else REPOSITORY / "docs" / "images"
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="runplane-shots-") as place:
        home = Path(place) / "home"
        home.mkdir(mode=0o700)
        system = RunningSystem(home)
        try:
            system.start()
            examples = Path(place) / "examples"
            shutil.copytree(REPOSITORY / "examples", examples)
            asyncio.run(_take(system, examples, directory))
        finally:
            system.end()
    return 0


async def _take(system: RunningSystem, examples: Path, directory: Path) -> None:
    async with httpx.AsyncClient(base_url=f"{system.url}/api/v1", headers=system.headers, timeout=60) as api:
        names = await _play(system, examples, api)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        try:
            for width, height in WIDTHS.items():
                for theme in THEMES:
                    await _look(browser, system, directory, names, width=width, height=height, theme=theme)
        finally:
            await browser.close()


async def _play(system: RunningSystem, examples: Path, api: httpx.AsyncClient) -> dict[str, str]:
    """Runs of all kinds; the names that stand in :data:`PAGES`."""
    for file in ("lina/workflow.yaml", "stuck/workflow.yaml", "counter/workflow.yaml"):
        applied = await asyncio.to_thread(system.run, "workflows", "apply", str(examples / file))
        assert applied.returncode == 0, applied.stderr
    for count in ("30", "60", "90"):
        await _start(api, "counter", count=int(count), interval=0)
    await _start(api, "counter", count=5, interval=0, fail_at=3, exit_code=3)
    killed = await _start(api, "lina", mode="loop", pace=600)
    stuck = [await _start(api, "stuck", program=f"stuck/{name}.py") for name in STUCK]
    lina = await _start(api, "lina", pace=90)
    await _until(api, "/runs?stuck=true", lambda page: page["total"] >= len(STUCK))
    await _until(api, f"/runs/{killed}", lambda run: run["step"] is not None)
    await api.post(f"/runs/{killed}/kill", json={"reason": "it tries again and again"}, params={"wait": 30})
    await api.post(f"/runs/{stuck[0]}/diagnose")
    await _until(api, f"/runs/{lina}", lambda run: (run["progress"] or {}).get("done", 0) >= 10)
    events = (await api.get(f"/runs/{killed}/events")).json()["items"]
    seq = next(event["seq"] for event in events if event["type"] == "RunKilled")
    return {"stuck": stuck[0], "lina": lina, "killed": killed, "seq": str(seq)}


async def _start(api: httpx.AsyncClient, workflow: str, **params: Any) -> str:
    known = (await api.get(f"/workflows/{workflow}")).json()["definition"]["params"]["properties"]
    given = {name: value for name, value in params.items() if name in known}
    answer = await api.post("/runs", json={"workflow": workflow, "params": given})
    assert answer.is_success, answer.text
    return str(answer.json()["run_id"])


async def _until(api: httpx.AsyncClient, path: str, holds: Any) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not holds((await api.get(path)).json()):
            await asyncio.sleep(0.2)


async def _look(
    browser: Browser,
    system: RunningSystem,
    directory: Path,
    names: dict[str, str],
    *,
    width: int,
    height: int,
    theme: str,
) -> None:
    context = await browser.new_context(
        viewport={"width": width, "height": height}, color_scheme="dark" if theme == "dark" else "light"
    )
    page = await context.new_page()
    page.set_default_timeout(PATIENCE_SECONDS * 1000)
    await page.goto(f"{system.url}/?token={system.token}")
    for name, (address, tab) in PAGES.items():
        await page.goto(system.url + address.format(**names))
        if tab is not None:
            await page.get_by_role("tab", name=tab).click()
        await _settled(page)
        path = directory / f"{name}-{width}-{theme}.png"
        await page.screenshot(path=path)
        print(json.dumps({"picture": str(path), "bytes": path.stat().st_size}))
    await context.close()


async def _settled(page: Page) -> None:
    """Until what comes by itself after the page is there has come."""
    await page.wait_for_load_state("networkidle")
    for _ in range(3):
        await page.evaluate("() => new Promise(done => requestAnimationFrame(() => setTimeout(done, 500)))")


if __name__ == "__main__":
    sys.exit(main())
