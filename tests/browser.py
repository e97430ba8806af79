"""The dashboard in a real browser: a viewer whose requests and complaints are kept, and workflows to look at."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from playwright.async_api import Browser, BrowserContext, Locator, Page, async_playwright, expect

from tests.running_system import RunningSystem

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
LIMIT = 20.0
MARKUP = "<img src=x onerror=alert(1)><script>alert(2)</script><b id=injected>bold</b>"
TALKER = """
import json, os, sys, time
markup = sys.argv[1]
reports = open(os.path.join(os.environ["RUNPLANE_DIR"], "reports.jsonl"), "a", buffering=1)
def progress(done, message):
    reports.write(json.dumps({"progress": {"done": done, "total": 4, "unit": "steps", "message": message}}) + "\\n")
print("first line", flush=True)
print(markup, flush=True)
print("\\x1b[31mred\\x1b[0m \\x1b]0;another title\\x07plain", flush=True)
print("to stderr " + markup, file=sys.stderr, flush=True)
progress(1, markup)
gate = sys.argv[2]
while not os.path.exists(gate):
    time.sleep(0.05)
print("after the gate", flush=True)
print("a question without a line end? ", end="", flush=True)
progress(3, "past the gate")
while not os.path.exists(gate + ".end"):
    time.sleep(0.05)
"""


@dataclass(kw_only=True)
class Plane:
    """The running system as this test uses it: the API, and one browser."""

    system: RunningSystem
    browser: Browser
    http: httpx.AsyncClient
    gate: Path
    requests: set[str] = field(default_factory=set)
    troubles: list[str] = field(default_factory=list)

    async def start(self, workflow: str = "talker", pool: str | None = None, **params: Any) -> str:
        body = {"workflow": workflow, "params": params, **({"pool": pool} if pool else {})}
        answer = await self.http.post("/runs", json=body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["run_id"])

    async def running(self, workflow: str = "talker", **params: Any) -> str:
        run_id = await self.start(workflow, **params)
        await self.until(run_id, "running")
        return run_id

    async def run(self, run_id: str) -> dict[str, Any]:
        answer = await self.http.get(f"/runs/{run_id}")
        assert answer.status_code == 200, answer.text
        document: dict[str, Any] = answer.json()
        return document

    async def until(self, run_id: str, status: str) -> dict[str, Any]:
        deadline = time.monotonic() + LIMIT
        while (run := await self.run(run_id))["status"] != status:
            assert time.monotonic() < deadline, f"{run_id} is {run['status']}, not {status}"
            await asyncio.sleep(0.05)
        return run

    async def records(self, run_id: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = (await self.http.get(f"/runs/{run_id}/events")).json()["items"]
        return items

    @asynccontextmanager
    async def viewer(self, *, width: int = 1280, log_in: bool = True) -> AsyncIterator[Page]:
        """A viewer with a session of their own; whatever their page asked for and complained of is kept."""
        context = await self.browser.new_context(viewport={"width": width, "height": 800})
        try:
            page = await self.open_page(context)
            if log_in:
                await page.goto(f"{self.system.url}/runs?token={self.system.token}")
            yield page
        finally:
            await context.close()

    async def open_page(self, context: BrowserContext) -> Page:
        page = await context.new_page()
        page.set_default_timeout(LIMIT * 1000)
        page.on("request", lambda request: self.requests.add(request.url))
        page.on("websocket", lambda socket: self.requests.add(socket.url))
        page.on("pageerror", lambda error: self.troubles.append(f"error {error}"))
        page.on("dialog", self._on_dialog)
        page.on(
            "console",
            lambda said: self.troubles.append(f"console {said.text}") if said.type == "error" else None,
        )
        return page

    async def _on_dialog(self, dialog: Any) -> None:
        self.troubles.append(f"dialog {dialog.message}")
        await dialog.dismiss()

    def foreign_requests(self) -> list[str]:
        place = self.system.url.removeprefix("http://")
        own = (f"http://{place}/", f"ws://{place}/", "data:", "blob:")
        return [url for url in self.requests if not url.startswith(own)]


@asynccontextmanager
async def dashboard(system: RunningSystem, tmp_path: Path) -> AsyncIterator[Plane]:
    """A browser on a system that runs, with a few workflows."""
    expect.set_options(timeout=LIMIT * 1000)
    script, gate = tmp_path / "talker.py", tmp_path / "gate"
    script.write_text(TALKER)
    async with (
        async_playwright() as playwright,
        httpx.AsyncClient(base_url=f"{system.url}/api/v1", headers=system.headers, timeout=30) as http,
    ):
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        try:
            text = {"type": "object", "properties": {"text": {"type": "string", "default": "-"}}}
            definitions: dict[str, dict[str, Any]] = {
                "talker": {"command": [sys.executable, str(script), "{text}", str(gate)], "params": text},
                "sleeper": {"command": ["sleep", "600"]},
                "quick": {"command": ["true"]},
            }
            for name, definition in definitions.items():
                answer = await http.put(
                    f"/workflows/{name}", json={"name": name, "workspace": str(tmp_path), **definition}
                )
                assert answer.is_success, answer.text
            yield Plane(system=system, browser=browser, http=http, gate=gate)
        finally:
            await browser.close()


def row(page: Page, run_id: str) -> Locator:
    return page.locator(f'.ag-row[row-id="{run_id}"]')


def dialog(page: Page) -> Locator:
    return page.locator(".q-dialog .rp-dialog").last  # the one before it may still be fading out


async def nothing_injected(page: Page) -> None:
    assert await page.locator("#injected, img[src=x], .rp-main script").count() == 0
    assert "another title" not in await page.title()


async def within(check: Callable[[], Awaitable[bool]], what: str) -> None:
    deadline = time.monotonic() + LIMIT
    while not await check():
        assert time.monotonic() < deadline, f"not within {LIMIT:g} s: {what}"
        await asyncio.sleep(0.05)
