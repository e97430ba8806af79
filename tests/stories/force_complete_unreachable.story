# An outcome is declared of a run whose host is away: it counts at once, and says that the host was away.
# When the host returns, it ends the tree; that is told, and changes nothing.

given
  +0s   ada/cli  StartRun a
  +1s   h1       RunClaimed a
  +2s   h1       ProcessSpawned a
  +60s  plane    RunUnreachable a

then
  a: unreachable on h1, attempt 1

when
  +90s  ada/cli  ForceCompleteRun a outcome=failed reason="the machine is gone"

then
  the plane decides OutcomeOverridden outcome="failed" reason="the machine is gone" observed="host h1 was not heard from; its processes may be alive until it returns"
  a: failed on h1, attempt 1
     failure: forced: the machine is gone
     declared: failed by ada; observed: host h1 was not heard from; its processes may be alive until it returns

when
  +900s h1       ProcessExited a signal=SIGKILL
  +900s h1       TreeVerifiedGone a
  +900s h1       RunKilled a

then
  anomaly: RunKilled of a: the run had already ended as failed
  a: failed on h1, attempt 1
     exit: SIGKILL
     failure: forced: the machine is gone
     declared: failed by ada; observed: host h1 was not heard from; its processes may be alive until it returns
     anomalies: 1
