"""How many stuck programs are found, how soon, and which healthy ones are taken for stuck.

    python -m benchmarks.stuck [--json] [--only NAME] [--programs DIRECTORY]

Every program under ``examples/stuck`` becomes a run of the real system, with the short thresholds of the workflow file.
A stuck one has to get a verdict within ``LIMIT_SECONDS``, a healthy one none until it ends. Exit code 1 where one was
missed or one was flagged. Takes about two minutes.
"""

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import yaml

EXAMPLES = Path(__file__).parents[1] / "examples" / "stuck"
LIMIT_SECONDS = 45.0
AT_ONCE = 4
SAMPLE_MS = "500"
_PROGRAM = (sys.executable, "-m", "runplane.cli")
_VERDICT = re.compile(r"^Verdict: (\w+)\.$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Case:
    """``expected``: the verdict of a stuck program; empty for a healthy one."""

    program: str
    expected: str


@dataclass(frozen=True, kw_only=True)
class Found:
    """``verdict`` is the first that was told; ``seconds``: from when it became so until it was told."""

    case: Case
    verdict: str
    seconds: float | None
    detail: str
    status: str

    @property
    def is_right(self) -> bool:
        """Whether this is what it should be."""
        return self.verdict == self.case.expected


def cases(place: Path) -> list[Case]:
    """The programs under ``stuck/`` and ``healthy/`` there, the healthy ones last."""
    stuck = sorted((place / "stuck").glob("*.py"))
    healthy = sorted((place / "healthy").glob("*.py"))
    found = []
    for file in (*stuck, *healthy):
        said = _VERDICT.search(file.read_text(encoding="utf-8"))
        expected = said[1] if said is not None and file in stuck else ""
        found.append(Case(program=str(file.relative_to(place)), expected=expected))
    return found


@contextmanager
def system(home: Path, place: Path) -> Iterator[dict[str, Any]]:
    """A system of its own, with the workflow applied; what ``endpoint.json`` says of it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RUNPLANE_")}
    env = kept | {"RUNPLANE_HOME": str(home), "RUNPLANE_SAMPLE_MS": SAMPLE_MS}

    def verb(*arguments: str) -> None:
        subprocess.run([*_PROGRAM, *arguments], env=env, check=True, capture_output=True, timeout=90)

    up = subprocess.Popen(
        [*_PROGRAM, "up", "--port", "0", "--home", str(home)],
        env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        verb("wait-ready", "--timeout", "60")
        workflow = yaml.safe_load((EXAMPLES / "workflow.yaml").read_text(encoding="utf-8"))
        file = home / "stuck.yaml"
        file.write_text(yaml.safe_dump(workflow | {"workspace": str(place)}), encoding="utf-8")
        verb("workflows", "apply", str(file))
        yield json.loads((home / "endpoint.json").read_text())
    finally:
        subprocess.run(
            [*_PROGRAM, "down", "--kill-runs"], env=env, check=False, capture_output=True, timeout=90
        )
        up.wait(60)


async def observe(api: httpx.AsyncClient, case: Case) -> Found:
    """Start it, wait for a verdict or its end, and end it."""
    started = await _ask(api, "POST", "/runs", {"workflow": "stuck", "params": {"program": case.program}})
    run_id = started["run_id"]
    run: dict[str, Any] = started
    raised: list[dict[str, Any]] = []
    deadline = asyncio.get_running_loop().time() + LIMIT_SECONDS
    while asyncio.get_running_loop().time() < deadline and not raised and not run.get("ended_at"):
        await asyncio.sleep(0.25)
        run = await _ask(api, "GET", f"/runs/{run_id}")
        events = await _ask(api, "GET", f"/events?run_id={run_id}&type=ConditionRaised")
        raised = [one for one in events["items"] if one["data"]["condition"]["type"] == "stuck"]
    if not run.get("ended_at"):
        run = (await _ask(api, "POST", f"/runs/{run_id}/kill?wait=30", {"force": True}))["run"]
    if not raised:
        return Found(case=case, verdict="", seconds=None, detail="", status=run["status"])
    condition = raised[0]["data"]["condition"]
    seconds = _moment(raised[0]["time"]) - _moment(condition["since"])
    return Found(
        case=case,
        verdict=condition["verdict"],
        seconds=seconds,
        detail=condition["detail"],
        status=run["status"],
    )


async def observe_all(endpoint: dict[str, Any], wanted: list[Case]) -> list[Found]:
    """A few at once, so that they do not keep one another from the cores."""
    at_once = asyncio.Semaphore(AT_ONCE)
    headers = {"Authorization": f"Bearer {endpoint['token']}"}
    async with httpx.AsyncClient(base_url=f"{endpoint['url']}/api/v1", headers=headers, timeout=60) as api:

        async def one(case: Case) -> Found:
            async with at_once:
                found = await observe(api, case)
                print(f"{case.program}: {found.verdict or found.status}", file=sys.stderr)
                return found

        return list(await asyncio.gather(*map(one, wanted)))


def report(found: list[Found]) -> dict[str, Any]:
    """Figures: recall, false alarms, right verdicts, time to detect."""
    stuck = [one for one in found if one.case.expected]
    healthy = [one for one in found if not one.case.expected]
    seconds = sorted(one.seconds for one in stuck if one.seconds is not None)
    return {
        "stuck": len(stuck),
        "found": sum(bool(one.verdict) for one in stuck),
        "right_verdicts": sum(one.is_right for one in stuck),
        "healthy": len(healthy),
        "false_alarms": sum(bool(one.verdict) for one in healthy),
        "median_seconds": seconds[len(seconds) // 2] if seconds else None,
        "longest_seconds": seconds[-1] if seconds else None,
    }


def show(found: list[Found], figures: dict[str, Any]) -> None:
    """As a table."""
    for one in found:
        mark = " " if one.is_right else "!"
        took = f"{one.seconds:5.1f} s" if one.seconds is not None else "       "
        print(
            f"{mark} {one.case.program:34} {one.case.expected or '-':19} {one.verdict or '-':19} {took}  {one.detail}"
        )
    print(
        f"\nfound {figures['found']} of {figures['stuck']} stuck ones, {figures['right_verdicts']} with the right one; "
        f"{figures['false_alarms']} of {figures['healthy']} healthy ones flagged; "
        f"told after {figures['median_seconds']:.1f} s (median), {figures['longest_seconds']:.1f} s (longest)"
    )


def main() -> int:
    """Run, print, and judge."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.stuck", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", metavar="NAME", help="programs whose name contains this")
    parser.add_argument(
        "--programs", metavar="DIRECTORY", type=Path, default=EXAMPLES, help="with stuck/ and healthy/ in it"
    )
    asked = parser.parse_args()
    programs = asked.programs.absolute()
    wanted = [case for case in cases(programs) if asked.only is None or asked.only in case.program]
    if not wanted:
        parser.error(f"there is no such program under {programs}/stuck or {programs}/healthy")
    with (
        tempfile.TemporaryDirectory(prefix="runplane-stuck-") as place,
        system(Path(place) / "home", programs) as endpoint,
    ):
        found = asyncio.run(observe_all(endpoint, wanted))
    figures = report(found)
    if asked.json:
        listed = [{"program": one.case.program, "expected": one.case.expected, "verdict": one.verdict,
                     "seconds": one.seconds, "detail": one.detail} for one in found]  # fmt: skip
        print(json.dumps({**figures, "programs": listed}, indent=2, ensure_ascii=False))
    else:
        show(found, figures)
    return int(figures["found"] < figures["stuck"] or figures["false_alarms"] > 0)


async def _ask(api: httpx.AsyncClient, method: str, path: str, body: Any = None) -> Any:
    answer = await api.request(method, path, json=body)
    if answer.is_error:
        raise AssertionError(f"{method} {path}: {answer.status_code} {answer.text}")
    return answer.json()


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


if __name__ == "__main__":
    sys.exit(main())
