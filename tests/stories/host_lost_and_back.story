# A host is cut off, its lease runs out, and the run goes on elsewhere. What the first host tells later changes nothing.

given
  +0s   ada/cli  StartRun a retry='{"max_attempts": 2}' disconnect='{"stop_after": 60, "lost_after": 120}'
  +1s   h1       RunClaimed a
  +2s   h1       ProcessSpawned a
  +30s  plane    RunUnreachable a

then
  a: unreachable on h1, attempt 1

when
  +150s plane    attempt a ending=lost kind=host_lost message="host h1 was not heard from for 120 s"

then
  a: pending on no host, attempt 1
     attempt 2: at not scheduled yet, from the beginning
     failure: host_lost: host h1 was not heard from for 120 s

when
  +150s plane    RetryScheduled a attempt=2 at=155
  +156s h2       RunClaimed a claims=2
  +156s h2       ProcessSpawned a

then
  a: running on h2, attempt 2

when
  +200s h1       StepCompleted a attempt=1 name=plan
  +200s h1       ProcessExited a attempt=1 signal=SIGTERM
  +200s h1       TreeVerifiedGone a attempt=1
  +200s h1       RunCompleted a attempt=1

then
  anomaly: StepCompleted of a: it comes from host h1, the run is held by h2
  anomaly: RunCompleted of a: it comes from host h1, the run is held by h2
  a: running on h2, attempt 2
     anomalies: 2

when
  +220s h2       RunCompleted a
  +230s h1       RunFailed a attempt=1

then
  anomaly: RunFailed of a: it comes from host h1, the run is held by h2
  a: completed on h2, attempt 2
     anomalies: 3
