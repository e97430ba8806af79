# A kill is decided, and before anything is signalled the run ends by itself.
# The exit code decides; a `killed` that somebody tells after it changes nothing.

given
  +0s   ada/cli  StartRun a
  +1s   h1       RunClaimed a
  +2s   h1       ProcessSpawned a

then
  a: running on h1, attempt 1

when
  +60s  ada/cli  KillRun a
  +60s  h1       ProcessExited a code=0
  +60s  h1       TreeVerifiedGone a
  +60s  h1       RunCompleted a

then
  h1 decides RunTerminating purpose="kill" method="graceful" grace_seconds=10.0
  a: completed on h1, attempt 1
     exit: code 0

when
  +61s  h1       RunKilled a

then
  anomaly: RunKilled of a: the run had already ended as completed
  a: completed on h1, attempt 1
     exit: code 0
     anomalies: 1
