"""The dashboard's other pages in a real browser: overview, bulk kill, hosts, workflows, audit."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.browser import LIMIT, MARKUP, Plane, dashboard, dialog, nothing_injected, row
from tests.running_system import RunningSystem

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(180)]

PAGES = ("/", "/runs", "/hosts", "/workflows", "/workflows/talker", "/audit")


@pytest.fixture(scope="module")
def system(system_of_module: RunningSystem) -> RunningSystem:
    return system_of_module


@pytest.fixture
async def plane(system: RunningSystem, tmp_path: Path) -> AsyncIterator[Plane]:
    async with dashboard(system, tmp_path) as plane:
        yield plane


async def apply(plane: Plane, name: str, **definition: object) -> None:
    answer = await plane.http.put(f"/workflows/{name}", json={"name": name, "workspace": "/", **definition})
    assert answer.is_success, answer.text


async def test_the_overview_says_what_needs_attention_and_goes_there(plane: Plane) -> None:
    await apply(plane, "asks", command=["sh", "-c", f"echo '{MARKUP}'; read x"], stuck={"silent": "1s"},
                description=MARKUP)  # fmt: skip
    await apply(plane, "breaks", command=["false"])
    async with plane.viewer() as page:
        await page.goto(f"{plane.system.url}/")
        run_id = await plane.start("asks")
        failed = [await plane.start("breaks") for _ in range(3)]
        item = page.locator(".rp-item", has_text=run_id)
        await expect(item).to_contain_text("stuck: waiting for input")
        await expect(item).to_contain_text("a read on standard input")
        await expect(item).to_contain_text(f"runplane diagnose {run_id}")
        await expect(page.locator(".rp-item", has_text="fails often")).to_contain_text(
            re.compile("[3-9] of [3-9] runs")
        )
        await expect(page.get_by_role("listitem").filter(has_text="failed").first).to_contain_text(
            re.compile("[3-9]")
        )
        await expect(page.locator(".rp-host")).to_contain_text("online")
        await expect(page.locator(".rp-chart canvas")).to_be_visible()
        await page.get_by_role("button", name="24 h").click()
        await expect(
            page.get_by_text(re.compile("[1-9].* runs were started in the last 24 h"))
        ).to_be_attached()
        await nothing_injected(page)
        await item.get_by_role("link").click()
        await expect(page).to_have_url(f"{plane.system.url}/runs/{run_id}")
        await page.get_by_role("link", name="Overview").click()
        await plane.http.post(f"/runs/{run_id}/kill", json={"force": True}, params={"wait": 20})
        await expect(page.locator(".rp-item", has_text=run_id)).to_have_count(0)
        for one in failed:
            await plane.until(one, "failed")
    assert plane.troubles == []


async def test_the_table_is_narrowed_by_its_address_and_many_are_killed_after_a_look(plane: Plane) -> None:
    wanted = [await plane.running("sleeper") for _ in range(3)]
    ended = await plane.start("quick")
    await plane.until(ended, "completed")
    async with plane.viewer() as page:
        await page.goto(f"{plane.system.url}/?workflow=sleeper")  # where the table once stood
        await expect(page).to_have_url(f"{plane.system.url}/runs?workflow=sleeper")
        for run_id in wanted:
            await expect(row(page, run_id)).to_contain_text("running")
        await expect(row(page, ended)).to_have_count(0)
        await page.goto(f"{plane.system.url}/runs?started=1h&stuck=true")
        await expect(page.locator(".rp-nothing")).to_contain_text("No run is like that")
        await page.locator(".q-checkbox", has_text="Stuck").click()
        await expect(row(page, ended)).to_contain_text("completed")
        assert "stuck" not in page.url

        kill = page.get_by_role("button", name=re.compile("^Kill"))
        await expect(kill).to_be_disabled()
        for run_id in (*wanted[:2], ended):
            await row(page, run_id).locator("input[type=checkbox]").click()
        await expect(kill).to_have_text(re.compile("Kill 3"))
        await kill.click()
        await expect(dialog(page)).to_contain_text("Kill 2 runs?")
        await expect(dialog(page).locator(".rp-result", has_text=ended)).to_contain_text("has ended already")
        for run_id in wanted[:2]:
            await expect(dialog(page).locator(".rp-result", has_text=run_id)).to_contain_text(
                "would be killed"
            )
        assert (await plane.run(wanted[0]))["status"] == "running"
        await dialog(page).get_by_label("Reason").fill(f"enough {MARKUP}")
        await dialog(page).get_by_role("button", name="Kill 2 runs").click()
        await expect(dialog(page).locator(".rp-result").first).to_contain_text("is being killed")
        await page.keyboard.press("Escape")
        for run_id in wanted[:2]:
            run = await plane.until(run_id, "killed")
            assert run["kill_receipt"]["reason"] == f"enough {MARKUP}"
            assert run["kill_receipt"]["via"] == "dashboard"
            await expect(row(page, run_id)).to_contain_text("killed")
        assert (await plane.run(wanted[2]))["status"] == "running"
        await nothing_injected(page)
    assert plane.troubles == []


async def test_a_workflow_is_started_by_its_form_and_a_bad_value_is_named_at_its_field(plane: Plane) -> None:
    params = {
        "type": "object",
        "required": ["epic"],
        "additionalProperties": False,
        "properties": {
            "epic": {"type": "string", "minLength": 3, "description": MARKUP},
            "limit": {"type": "integer", "minimum": 1, "default": 5},
            "mode": {"enum": ["fast", "slow"], "default": "slow"},
            "dry": {"type": "boolean", "default": False},
            "tags": {"type": "array", "items": {"type": "string"}},
            "key": {"type": "string", "secret": True},
        },
    }
    await apply(
        plane, "formed", command=["echo", "{epic}", "{limit}", "{mode}"], params=params, description=MARKUP
    )
    async with plane.viewer() as page:
        await page.goto(f"{plane.system.url}/workflows")
        await page.locator(".rp-line", has_text="formed").click()
        await expect(page).to_have_url(f"{plane.system.url}/workflows/formed")
        await expect(page.locator(".rp-code")).to_contain_text("name: formed")
        await expect(page.get_by_label("key")).to_have_attribute("type", "password")
        await page.get_by_role("button", name="Start").click()
        await expect(page.get_by_role("alert").filter(has_text="epic")).to_be_visible()
        await page.get_by_label("epic").fill("ab")
        await page.get_by_label("key").fill("hunter2")
        await page.get_by_role("button", name="Start").click()
        await expect(page.get_by_text("takes only a reference like secret:NAME").first).to_be_visible()
        assert "hunter2" not in await page.locator("body").inner_text()
        await page.get_by_label("key").fill("")
        await page.get_by_label("tags").fill("[1")
        await page.get_by_role("button", name="Start").click()
        await expect(page.get_by_text("tags is not JSON").first).to_be_visible()
        await page.get_by_label("tags").fill('["a"]')
        await page.get_by_label("epic").fill(f"NMSTX {MARKUP}")
        await page.locator(".q-checkbox", has_text="dry").click()
        await page.get_by_label("limit").press("Enter")
        await expect(page).to_have_url(re.compile(r"/runs/run_[0-9a-f]{12}$"), timeout=LIMIT * 1000)
        run = await plane.until(page.url.rpartition("/")[2], "completed")
        assert run["params"] == {
            "epic": f"NMSTX {MARKUP}",
            "limit": 5,
            "mode": "slow",
            "dry": True,
            "tags": ["a"],
        }
        assert run["requested_via"] == "dashboard"
        await page.goto(f"{plane.system.url}/workflows/formed")
        await expect(page.locator(".rp-line", has_text=run["run_id"])).to_contain_text("completed")
        await nothing_injected(page)
        await page.goto(f"{plane.system.url}/workflows/nothing")
        await expect(page.get_by_text("There is no workflow nothing")).to_be_visible()
    assert plane.troubles == []


async def test_the_audit_finds_records_and_shows_the_run_as_it_was(plane: Plane) -> None:
    run_id = await plane.running("sleeper")
    await plane.http.post(f"/runs/{run_id}/kill", json={"reason": MARKUP}, params={"wait": 20})
    async with plane.viewer() as page:
        await page.goto(f"{plane.system.url}/audit")
        await page.get_by_label("Run").fill(run_id)
        await page.get_by_role("button", name="Search").click()
        await expect(page).to_have_url(re.compile(f"run={run_id}"))
        await expect(page.locator(".rp-record").first).to_contain_text("RunKilled")
        await page.locator(".rp-record", has_text="ProcessSpawned").click()
        await expect(page.locator(".rp-side")).to_contain_text("ProcessSpawned")
        await expect(page.locator(".rp-side .rp-pill")).to_have_text("running")
        await page.get_by_role("link", name="After →").click()
        await expect(page.locator(".rp-side")).to_contain_text("KillRun")
        await expect(page.locator(".rp-side .rp-code").first).to_contain_text(MARKUP)
        await page.get_by_role("link", name="After →").click()
        await expect(page.locator(".rp-side .rp-pill")).to_have_text("terminating")
        await nothing_injected(page)
        await page.get_by_label("Type").fill("Nonsense")
        await page.get_by_role("button", name="Search").click()
        await expect(page.get_by_role("alert")).to_contain_text("Nonsense is no type of record")
        await page.goto(f"{plane.system.url}/audit?run={run_id}&type=KillRun&actor=nobody")
        await expect(page.get_by_text("No record is like that.")).to_be_visible()
        await page.goto(f"{plane.system.url}/audit?before=3")
        await expect(page.locator(".rp-record")).to_have_count(2)
    assert plane.troubles == []


async def test_the_hosts_are_there_and_every_page_fits_a_phone_in_both_themes(plane: Plane) -> None:
    async with plane.viewer() as page:
        await page.goto(f"{plane.system.url}/hosts")
        await expect(page.get_by_role("group")).to_contain_text("online")
        await expect(page.get_by_role("meter", name="Memory")).to_be_visible()
        await expect(page.get_by_role("heading", name="Hosts")).to_be_visible()
    async with plane.viewer(width=390) as page:
        for path in PAGES:
            await page.goto(f"{plane.system.url}{path}")
            await expect(page.locator(".rp-nav [aria-current=page]")).to_be_visible()
            assert await page.evaluate("document.documentElement.scrollWidth") <= 390, path
        light = await background(page)
        await page.get_by_role("button", name="Dark or light").click()
        await expect(page.locator("body.body--dark")).to_be_visible()
        assert await background(page) != light
    assert plane.foreign_requests() == []
    assert plane.troubles == []


async def background(page: Page) -> str:
    return str(await page.evaluate("getComputedStyle(document.body).backgroundColor"))


async def test_the_overview_and_the_hosts_come_back_when_the_control_plane_was_killed(plane: Plane) -> None:
    async with plane.viewer() as page:
        hosts = await page.context.new_page()
        await page.goto(f"{plane.system.url}/")
        await hosts.goto(f"{plane.system.url}/hosts")
        plane.system.kill_part("control_plane")
        await asyncio.to_thread(plane.system.wait_ready)
        run_id = await plane.start("sleeper", pool="nobody")
        tile = page.locator(".rp-tile", has_text="pending")
        await expect(tile).not_to_contain_text(re.compile(r"^0"))
        await expect(hosts.get_by_role("group")).to_contain_text("online")
        await plane.http.post(f"/runs/{run_id}/kill", json={})
