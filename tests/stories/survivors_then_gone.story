# A process cannot be killed: the run stays `terminating` and names it, until it is gone.
# A `killed` whose receipt is no proof is not believed.

given
  +0s   ada/cli  StartRun a
  +1s   h1       RunClaimed a
  +2s   h1       ProcessSpawned a
  +60s  ada/cli  KillRun a

then
  h1 decides RunTerminating purpose="kill" method="graceful" grace_seconds=10.0
  a: terminating on h1, attempt 1
     being ended with 10s of grace for kill, asked by ada (cli)

when
  +70s  h1       SurvivorsFound a pid=4251 why="in uninterruptible sleep (D) since 12:01"
  +75s  ada/cli  KillRun a
  +76s  h1       RunKilled a verified=false

then
  h1 has nothing to do: it is so already
  anomaly: RunKilled of a: its receipt does not prove that every process is gone
  a: terminating on h1, attempt 1
     being ended with 10s of grace for kill, asked by ada (cli)
     survivors: 1 not gone: pid 4251: in uninterruptible sleep (D) since 12:01
     anomalies: 1

when
  +300s h1       TreeVerifiedGone a
  +300s h1       RunKilled a method=force

then
  a: killed on h1, attempt 1
     receipt: force, verified by cgroup
     anomalies: 1
