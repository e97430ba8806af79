# An outcome is declared and the tree is left alone: its end, later, is told and changes no status.

given
  +0s   ada/cli  StartRun a
  +1s   h1       RunClaimed a
  +2s   h1       ProcessSpawned a

then
  a: running on h1, attempt 1

when
  +60s  ada/cli  ForceCompleteRun a outcome=completed detach=true

then
  h1 decides OutcomeOverridden outcome="completed" observed="detached while running; its processes were left alive" detached=true
  a: completed on h1, attempt 1
     declared: completed by ada; observed: detached while running; its processes were left alive

when
  +90s  h1       ProcessExited a code=1
  +90s  h1       TreeVerifiedGone a
  +90s  h1       RunFailed a

then
  anomaly: RunFailed of a: the run had already ended as completed
  a: completed on h1, attempt 1
     exit: code 1
     declared: completed by ada; observed: detached while running; its processes were left alive
     anomalies: 1
