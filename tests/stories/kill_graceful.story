# A graceful kill.
# The order is taken at once; `killed` stands only when every process is proven gone.

given
  +0s   ada/cli  StartRun a
  +1s   h1       RunClaimed a
  +2s   h1       ProcessSpawned a

then
  a: running on h1, attempt 1

when
  +60s  bob/mcp  KillRun a reason="no progress for ten minutes"

then
  h1 decides RunTerminating purpose="kill" method="graceful" grace_seconds=10.0 reason="no progress for ten minutes"
  a: terminating on h1, attempt 1
     being ended with 10s of grace for kill, asked by bob (mcp)

when
  +61s  h1       ProcessExited a signal=SIGTERM
  +61s  h1       RunKilled a

then
  a: killed on h1, attempt 1
     exit: SIGTERM
     receipt: graceful, verified by cgroup
