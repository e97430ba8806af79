# An outcome is declared while a kill is under way: the kill goes on, and ends in the declared outcome.
# Another outcome than the declared one needs to replace it.

given
  +0s   ada/cli  StartRun a
  +1s   h1       RunClaimed a
  +2s   h1       ProcessSpawned a
  +60s  ada/cli  KillRun a grace_seconds=30

then
  h1 decides RunTerminating purpose="kill" method="graceful" grace_seconds=30.0
  a: terminating on h1, attempt 1
     being ended with 30s of grace for kill, asked by ada (cli)

when
  +65s  bob/cli  ForceCompleteRun a outcome=completed
  +66s  bob/cli  ForceCompleteRun a outcome=completed
  +67s  ada/cli  ForceCompleteRun a outcome=failed

then
  h1 decides RunTerminating purpose="force_complete" method="graceful" grace_seconds=10.0 outcome="completed"
  h1 has nothing to do: it is so already
  h1 refuses (already_declared): a is being ended as completed: to declare it failed all the same, add --replace (replace: true)
  a: terminating on h1, attempt 1
     being ended with 30s of grace for force_complete as completed, asked by bob (cli)

when
  +70s  h1       OutcomeOverridden a outcome=completed observed="main process ended with SIGTERM" receipt=true

then
  a: completed on h1, attempt 1
     receipt: graceful, verified by cgroup
     declared: completed by bob; observed: main process ended with SIGTERM
