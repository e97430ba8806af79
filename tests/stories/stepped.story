# A run is held at a breakpoint, a variable of it is changed, it is stepped to the next boundary and goes on.

given
  +0s   ada/cli  StartRun a
  +1s   h1       RunClaimed a
  +2s   h1       ProcessSpawned a

then
  a: running on h1, attempt 1

when
  +3s   ada/cli  SetBreakpoints a breakpoints='[{"location":"step:plan"}]'
  +4s   h1       RunPaused a at="step:plan" scopes='[{"name":"inputs","variables":[{"name":"limit","type":"integer","value":3}]}]'
  +5s   bob/mcp  SetVariables a values='{"limit":5}'
  +6s   bob/mcp  SetVariables a values='{"nothing":5}'
  +7s   bob/mcp  StepRun a

then
  h1 decides BreakpointsSet breakpoints=[{"location": "step:plan"}]
  h1 decides VariablesSet scope="inputs" values={"limit": 5} before={"limit": 3}
  h1 refuses (variable_not_found): a shows no variable 'nothing' where it is held (inputs: limit): see runplane vars a
  h1 decides RunContinued until="boundary"
  a: running on h1, attempt 1

when
  +8s   h1       RunPaused a at="step:review"
  +9s   ada/cli  ContinueRun a
  +10s  ada/cli  StepRun a
  +11s  ada/cli  SetVariables a values='{"limit":5}'

then
  h1 decides RunContinued
  h1 refuses (not_paused): a is running: only a held run can be stepped. Hold it with runplane pause a, or where it comes to a step with runplane break a 'step:*'
  h1 refuses (not_held): a is running: variables are changed where a run is held at a breakpoint. runplane break a 'step:*' holds it at its next step
  a: running on h1, attempt 1

when
  +12s  h1       ProcessExited a code=0
  +12s  h1       TreeVerifiedGone a
  +12s  h1       RunCompleted a
  +13s  ada/cli  SetBreakpoints a

then
  the plane refuses (already_ended): a has ended as completed: it comes to no breakpoint any more
  a: completed on h1, attempt 1
     exit: code 0
