# All attempts have failed, and another workflow is run with the failed run as its input. Both name each other.

given
  +0s   ada/cli  StartRun a retry='{"max_attempts": 2}' recovery='{"on_failure": "cleanup"}'
  +1s   h1       RunClaimed a
  +2s   h1       ProcessSpawned a
  +3s   h1       attempt a code=3
  +3s   plane    RetryScheduled a attempt=2 at=5
  +5s   h1       RunClaimed a claims=2
  +5s   h1       ProcessSpawned a

then
  a: running on h1, attempt 2

when
  +9s   h1       attempt a code=3 message="the main process ended with exit code 3"

then
  a: failed on h1, attempt 2
     failure: exit_code: the main process ended with exit code 3

when
  +9s   policy:recovery/policy  StartRun b recovers=run_00000000000a
  +9s   plane    RecoveryStarted a run_id=run_00000000000b workflow=cleanup
  +10s  h1       RunClaimed b
  +10s  h1       ProcessSpawned b
  +11s  h1       RunCompleted b

then
  b: completed on h1, attempt 1
     recovers: a
  a: failed on h1, attempt 2
     failure: exit_code: the main process ended with exit code 3
     recovered by: b
