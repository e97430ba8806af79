# A run is held by an operator, goes on, is held again and killed meanwhile; what cannot be is refused.

given
  +0s   ada/cli  StartRun a
  +1s   h1       RunClaimed a
  +2s   h1       ProcessSpawned a

then
  a: running on h1, attempt 1

when
  +3s   ada/cli  PauseRun a reason="look"

then
  h1 decides RunPaused reason="look"
  a: paused on h1, attempt 1

when
  +4s   bob/mcp  PauseRun a
  +5s   bob/mcp  ContinueRun a

then
  h1 has nothing to do: it is so already
  h1 decides RunContinued
  a: running on h1, attempt 1

when
  +6s   bob/mcp  ContinueRun a

then
  h1 refuses (not_paused): a is running: only a paused run can go on
  a: running on h1, attempt 1

when
  +7s   ada/cli  PauseRun a
  +8s   ada/cli  KillRun a
  +8s   bob/mcp  ContinueRun a

then
  h1 decides RunPaused
  h1 decides RunTerminating purpose="kill" method="graceful" grace_seconds=10.0
  h1 refuses (not_paused): a is terminating: only a paused run can go on
  a: terminating on h1, attempt 1
     being ended with 10s of grace for kill, asked by ada (cli)
