"""The workflows: what is registered and how it went lately; of one, its definition and a form to start it."""

from collections import Counter
from datetime import timedelta

import yaml
from nicegui import ui

from control_plane.context import Context
from control_plane.dashboard import words
from control_plane.dashboard.frame import empty, page, pairs, pill
from control_plane.dashboard.start_form import StartForm
from control_plane.read_model import RunFilter, WorkflowView
from runplane.contract.run import OPEN, Actor, Status
from runplane.stamp import now

MOST_RUNS = 10
_FAILED = (Status.FAILED, Status.TIMED_OUT, Status.LOST)


def build_list(context: Context) -> None:
    """The registry."""
    with page("Workflows"):
        ui.label("Workflows").classes("rp-title").props("role=heading aria-level=1")
        ended = _ended(context)
        with ui.element("div").classes("rp-list"):
            for view in context.read_model.workflows():
                _line(context, view, ended.get(view.name, Counter()))
        if not context.read_model.workflows():
            empty("No workflow is registered.", "runplane workflows apply workflow.yaml")


def build_one(context: Context, name: str, actor: Actor) -> None:
    """One workflow."""
    view = context.read_model.workflow(name)
    if view is None:
        with page("No such workflow"), ui.card().classes("rp-card gap-2"):
            ui.label(f"There is no workflow {words.one_line(name, 60)}").classes("rp-title")
            ui.link("All workflows", "/workflows").classes("rp-link")
        return
    with page(name, section="Workflows"):
        with ui.row().classes("rp-headline"):
            ui.link("Workflows", "/workflows").classes("rp-link")
            ui.label(name).classes("rp-title").props("role=heading aria-level=1")
            ui.label(f"version {view.version}").classes("rp-soft")
        if view.definition.description:
            ui.label(words.one_line(view.definition.description, 2000)).classes("rp-soft")
        with ui.element("div").classes("rp-columns"):
            with ui.card().classes("rp-card"):
                ui.label("Start a run").classes("rp-heading").props("role=heading aria-level=2")
                StartForm(context, view, actor)
            with ui.column().classes("rp-side"):
                _recent(context, name)
                _definition(context, view)


def _line(context: Context, view: WorkflowView, ended: Counter[Status]) -> None:
    with ui.link(target=f"/workflows/{view.name}").classes("rp-line"):
        with ui.element("div").classes("rp-line-main"):
            ui.label(view.name).classes("rp-item-title")
            ui.label(
                words.one_line(view.definition.description) or " ".join(view.definition.command)[:120]
            ).classes("rp-soft rp-cut")
        open_now = context.read_model.runs(
            RunFilter(status=tuple(sorted(OPEN)), workflow=view.name, limit=1)
        ).total
        with ui.element("div").classes("rp-line-side"):
            if open_now:
                ui.label(f"{open_now} open").classes("rp-soft rp-blue")
            failed = sum(ended[status] for status in _FAILED)
            if ended:
                hue = "red" if failed else "green"
                text = (
                    f"{failed} of {ended.total()} failed, 24 h" if failed else f"{ended.total()} ended, 24 h"
                )
                ui.label(text).classes(f"rp-soft rp-{hue}")
            ui.label(f"v{view.version}").classes("rp-soft")


def _ended(context: Context) -> dict[str, Counter[Status]]:
    found: dict[str, Counter[Status]] = {}
    for workflow, status, count in context.read_model.outcomes(now() - timedelta(days=1)):
        found.setdefault(workflow, Counter())[Status(status)] += count
    return found


def _recent(context: Context, name: str) -> None:
    with ui.card().classes("rp-card"):
        ui.label("Last runs").classes("rp-heading").props("role=heading aria-level=2")
        runs = context.read_model.runs(RunFilter(workflow=name, limit=MOST_RUNS)).items
        with ui.element("div").classes("rp-list"):
            for run in runs:
                with ui.link(target=f"/runs/{run.run_id}").classes("rp-line"):
                    ui.label(run.run_id).classes("rp-mono")
                    ui.label(words.clock(run.created_at)).classes("rp-soft")
                    ui.space()
                    pill(run.status)
        if not runs:
            empty("It has not run yet.", f"runplane run {name}")
        else:
            ui.link("All of them", f"/runs?workflow={name}").classes("rp-link")


def _definition(context: Context, view: WorkflowView) -> None:
    with ui.card().classes("rp-card"):
        ui.label("Definition").classes("rp-heading").props("role=heading aria-level=2")
        document = view.definition.model_dump(mode="json", exclude_defaults=True, by_alias=True)
        text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=100)
        with ui.element("pre").classes("rp-code").props("tabindex=0"):
            ui.label(text)
        versions = context.read_model.workflow_versions(view.name)[::-1][:MOST_RUNS]
        pairs(
            [
                (f"version {one.version}", f"{words.clock(one.applied_at)} by {one.applied_by}")
                for one in versions
            ]
        )
