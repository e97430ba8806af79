# A run is held at a breakpoint, a variable of it is changed, it is stepped to the next boundary and goes on.

given
  +0s   ada/cli  StartRun a
  +1s   h1       RunClaimed a
  +2s   h1       ProcessSpawned a

when
  +3s   ada/cli  SetBreakpoints a breakpoints='[{"location":"step:plan"}]'
  +4s   h1       RunPaused a at="step:plan" scopes='[{"name":"inputs","variables":[{"name":"limit","type":"integer","value":3}]}]'
  +5s   bob/mcp  SetVariables a values='{"limit":5}'
  +6s   bob/mcp  SetVariables a values='{"nothing":5}'
  +7s   bob/mcp  StepRun a

then

when
  +8s   h1       RunPaused a at="step:review"
  +9s   ada/cli  ContinueRun a
  +10s  ada/cli  StepRun a
  +11s  ada/cli  SetVariables a values='{"limit":5}'

then

when
  +12s  h1       ProcessExited a code=0
  +12s  h1       TreeVerifiedGone a verified_by=["cgroup"]
  +12s  h1       RunCompleted a
  +13s  ada/cli  SetBreakpoints a

then
