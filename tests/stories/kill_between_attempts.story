# Killed while it waits for its next attempt: no attempt comes, and the proof is that of the attempt before.

given
  +0s   ada/cli  StartRun a retry='{"max_attempts": 3}'
  +1s   h1       RunClaimed a
  +2s   h1       ProcessSpawned a
  +9s   h1       ProcessExited a code=3
  +9s   h1       TreeVerifiedGone a
  +9s   h1       attempt a code=3
  +9s   plane    RetryScheduled a attempt=2 at=12

then
  a: pending on no host, attempt 1
     attempt 2: at 12 s, from the beginning
     exit: code 3
     failure: exit_code: exit_code

when
  +10s  ada/cli  KillRun a reason="never mind"

then
  the plane decides RunKilled receipt={"command_id": "", "requested_by": "", "via": "api", "reason": "never mind", "method": "graceful", "verified": true, "verified_by": ["cgroup"], "started_at": "2026-03-01T12:00:10Z", "ended_at": "2026-03-01T12:00:10Z", "duration_ms": 0.0}
  a: killed on h1, attempt 1
     exit: code 3
     receipt: graceful, verified by cgroup

when
  +12s  h2       RunClaimed a claims=2

then
  anomaly: RunClaimed of a: host h2 claims it, but it is killed on host h1
  a: killed on h1, attempt 1
     exit: code 3
     receipt: graceful, verified by cgroup
     anomalies: 1
