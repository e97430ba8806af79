"""What was looked at, what was found, and what to do: of this machine, and of the control plane that serves it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from runplane.cli.terminal import draw, one_line

LONGEST = 400


class Verdict(StrEnum):
    """``failed`` is essential; ``warning`` names what works less well."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


STYLES = {Verdict.OK: "green", Verdict.WARNING: "yellow", Verdict.FAILED: "bold red"}
_OF_STATUS = {"ok": Verdict.OK, "degraded": Verdict.WARNING, "failed": Verdict.FAILED}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing looked at; ``advice`` is empty where all is well."""

    name: str
    verdict: Verdict
    found: str
    advice: str = ""


def findings_of(health: Mapping[str, Any], *, prefix: str = "") -> list[Finding]:
    """The checks of ``/healthz`` as findings."""
    return [
        Finding(
            name=f"{prefix}{one_line(check.get('name', ''), 40)}",
            verdict=_OF_STATUS.get(str(check.get("status")), Verdict.WARNING),
            found=one_line(check.get("detail", ""), LONGEST),
            advice=one_line(check.get("todo", ""), LONGEST),
        )
        for check in health.get("checks", ())
        if isinstance(check, Mapping)
    ]


def show(findings: Iterable[Finding]) -> None:
    """Draw them as a table."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for heading in ("check", "", "found", "what to do"):
        table.add_column(heading, overflow="fold")
    for finding in findings:
        verdict = Text(finding.verdict, style=STYLES[finding.verdict])
        table.add_row(Text(finding.name), verdict, Text(finding.found), Text(finding.advice))
    draw(table)
