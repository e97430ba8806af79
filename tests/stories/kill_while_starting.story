# A kill that overtakes the start.
# The host has claimed the run and is starting its process: what was started meanwhile is known, and is ended.

given
  +0s   ada/cli  StartRun a
  +1s   h1       RunClaimed a

then
  a: starting on h1, attempt 1

when
  +2s   ada/cli  KillRun a

then
  h1 decides RunTerminating purpose="kill" method="graceful" grace_seconds=10.0
  a: terminating on h1, attempt 1
     being ended with 10s of grace for kill, asked by ada (cli)

when
  +2s   h1       ProcessSpawned a
  +3s   h1       ProcessExited a signal=SIGTERM
  +3s   h1       RunKilled a

then
  a: killed on h1, attempt 1
     exit: SIGTERM
     receipt: graceful, verified by cgroup
