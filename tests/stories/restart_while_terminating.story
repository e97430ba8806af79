# A forced restart during a kill: the kill goes on by force, and the new run follows it.

given
  +0s   ada/cli  StartRun a
  +1s   h1       RunClaimed a
  +2s   h1       ProcessSpawned a
  +60s  ada/cli  KillRun a grace_seconds=600

then
  h1 decides RunTerminating purpose="kill" method="graceful" grace_seconds=600.0
  a: terminating on h1, attempt 1
     being ended with 600s of grace for kill, asked by ada (cli)

when
  +70s  bob/cli  RestartRun a new=b force=true

then
  h1 decides RestartAccepted new_run_id="b"
  h1 decides TerminationEscalated
  b: pending
     restarted from: a
  a: terminating on h1, attempt 1
     being ended by force for kill, asked by ada (cli)
     restarted as: b

when
  +71s  h1       RunKilled a method=force
  +71s  plane    StartRun b

then
  a: killed on h1, attempt 1
     receipt: force, verified by cgroup
     restarted as: b
  b: pending
     restarted from: a
