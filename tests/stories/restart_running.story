# A restart of a run that is alive.
# The new run stands as pending at once; it starts only after the old tree is proven gone.

given
  +0s   ada/cli  StartRun a
  +1s   h1       RunClaimed a
  +2s   h1       ProcessSpawned a

then
  a: running on h1, attempt 1

when
  +60s  ada/mcp  RestartRun a new=b reason="stuck"

then
  h1 decides RestartAccepted new_run_id="b" reason="stuck"
  h1 decides RunTerminating purpose="restart" method="graceful" grace_seconds=10.0 reason="stuck"
  b: pending
     restarted from: a
  a: terminating on h1, attempt 1
     being ended with 10s of grace for restart, asked by ada (mcp)
     restarted as: b

when
  +62s  h1       ProcessExited a signal=SIGTERM
  +62s  h1       RunKilled a
  +62s  plane    StartRun b

then
  a: killed on h1, attempt 1
     exit: SIGTERM
     receipt: graceful, verified by cgroup
     restarted as: b
  b: pending
     restarted from: a

when
  +63s  h2       RunClaimed b
  +64s  h2       ProcessSpawned b

then
  b: running on h2, attempt 1
     restarted from: a
