# An attempt fails, and the next one does the work: the run is one and the same, and completed.

given
  +0s   ada/cli  StartRun a retry='{"max_attempts": 3, "initial": 4}'
  +1s   h1       RunClaimed a
  +2s   h1       ProcessSpawned a
  +9s   h1       ProcessExited a code=3
  +9s   h1       TreeVerifiedGone a
  +9s   h1       attempt a code=3 message="the main process ended with exit code 3"

then
  a: pending on no host, attempt 1
     attempt 2: at not scheduled yet, from the beginning
     exit: code 3
     failure: exit_code: the main process ended with exit code 3

when
  +9s   plane    RetryScheduled a attempt=2 at=12

then
  a: pending on no host, attempt 1
     attempt 2: at 12 s, from the beginning
     exit: code 3
     failure: exit_code: the main process ended with exit code 3

when
  +12s  plane/policy  StartRun a attempt=2 retry='{"max_attempts": 3, "initial": 4}'
  +13s  h2       RunClaimed a claims=2
  +13s  h2       ProcessSpawned a

then
  a: running on h2, attempt 2

when
  +14s  h1       ProgressReported a done=9 total=10
  +15s  h2       RunCompleted a

then
  anomaly: ProgressReported of a: it comes from host h1, the run is held by h2
  a: completed on h2, attempt 2
     anomalies: 1
