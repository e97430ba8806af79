# Two restarts of one run at the same time.
# The first in log order wins. The second is refused, and the run it had made never starts.

given
  +0s   ada/cli  StartRun a
  +1s   h1       RunClaimed a
  +2s   h1       ProcessSpawned a

then
  a: running on h1, attempt 1

when
  +60s  ada/mcp  RestartRun a new=b (undecided)
  +60s  bob/cli  RestartRun a new=c (undecided)
  +61s  h1       decides a

then
  h1 decides RestartAccepted new_run_id="b"
  h1 decides RunTerminating purpose="restart" method="graceful" grace_seconds=10.0
  h1 refuses (already_restarted): a was already restarted as b: restart that one
  b: pending
     restarted from: a
  c: pending
     restarted from: a
  a: terminating on h1, attempt 1
     being ended with 10s of grace for restart, asked by ada (mcp)
     restarted as: b

when
  +61s  plane    RunCanceled c reason="the restart of a was refused"
  +63s  h1       RunKilled a
  +63s  plane    StartRun b

then
  c: canceled
     restarted from: a
  a: killed on h1, attempt 1
     receipt: graceful, verified by cgroup
     restarted as: b
  b: pending
     restarted from: a
