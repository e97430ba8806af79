"""The tools, in the order in which they are listed: what is needed at 3 a.m. first."""

from mcp_server.tools.debugging import (
    evaluate_expression,
    inspect_variables,
    set_breakpoint,
    set_variable,
    step_workflow,
)
from mcp_server.tools.deciding import decide_workflow
from mcp_server.tools.ending import force_complete_workflow, kill_workflow, restart_workflow
from mcp_server.tools.fleet import kill_workflows
from mcp_server.tools.history import get_workflow_events, get_workflow_logs, replay_workflow
from mcp_server.tools.holding import continue_workflow, pause_workflow
from mcp_server.tools.listing import list_recent_runs, list_runs_by_status, list_runs_by_workflow
from mcp_server.tools.starting import list_workflows, run_workflow
from mcp_server.tools.tool import CHANGES, ENDS, HOLDS, LOOKS, REPLACES, STARTS, RunplaneTool
from mcp_server.tools.watching import (
    diagnose_workflow,
    get_health_status,
    get_workflow_status,
    list_hosts,
    wait_for_workflow,
)

TOOLS = (
    RunplaneTool(kill_workflow, title="Kill a run and prove it gone", hints=ENDS),
    RunplaneTool(restart_workflow, title="Restart a run under a new id", hints=REPLACES),
    RunplaneTool(force_complete_workflow, title="Declare the outcome of a run", hints=ENDS),
    RunplaneTool(decide_workflow, title="Decide about a run whose attempt failed", hints=STARTS),
    RunplaneTool(pause_workflow, title="Pause a run", hints=HOLDS),
    RunplaneTool(continue_workflow, title="Let a paused run go on", hints=HOLDS),
    RunplaneTool(set_breakpoint, title="Hold a run at a step or a line", hints=HOLDS),
    RunplaneTool(step_workflow, title="Let a held run go on to the next step or line", hints=STARTS),
    RunplaneTool(inspect_variables, title="Look at the variables of a run", hints=LOOKS),
    RunplaneTool(set_variable, title="Change a variable of a held run", hints=CHANGES),
    RunplaneTool(evaluate_expression, title="Evaluate an expression in a held run", hints=CHANGES),
    RunplaneTool(run_workflow, title="Start a run of a workflow", hints=STARTS),
    RunplaneTool(list_workflows, title="List the workflows", hints=LOOKS),
    RunplaneTool(list_recent_runs, title="List recent runs", hints=LOOKS),
    RunplaneTool(list_runs_by_status, title="List runs by status", hints=LOOKS),
    RunplaneTool(list_runs_by_workflow, title="List runs by workflow", hints=LOOKS),
    RunplaneTool(get_workflow_status, title="Look at a run", hints=LOOKS),
    RunplaneTool(get_health_status, title="Look at the whole system", hints=LOOKS),
    RunplaneTool(diagnose_workflow, title="See what a run waits for", hints=LOOKS),
    RunplaneTool(wait_for_workflow, title="Wait for a run to end", hints=LOOKS),
    RunplaneTool(get_workflow_logs, title="Read what a run printed", hints=LOOKS),
    RunplaneTool(get_workflow_events, title="Read what happened to a run", hints=LOOKS),
    RunplaneTool(replay_workflow, title="See a run as it was", hints=LOOKS),
    RunplaneTool(kill_workflows, title="Kill many runs", hints=ENDS),
    RunplaneTool(list_hosts, title="List the hosts", hints=LOOKS),
)
