# A second kill with force cuts the grace of the first short.
# A third changes nothing, and one after the end is refused.

given
  +0s   ada/cli  StartRun a
  +1s   h1       RunClaimed a
  +2s   h1       ProcessSpawned a

then
  a: running on h1, attempt 1

when
  +60s  ada/cli  KillRun a grace_seconds=600

then
  h1 decides RunTerminating purpose="kill" method="graceful" grace_seconds=600.0
  a: terminating on h1, attempt 1
     being ended with 600s of grace for kill, asked by ada (cli)

when
  +90s  ada/cli  KillRun a

then
  h1 has nothing to do: it is so already
  a: terminating on h1, attempt 1
     being ended with 600s of grace for kill, asked by ada (cli)

when
  +95s  bob/dashboard KillRun a force=true reason="it ignores SIGTERM"
  +96s  bob/dashboard KillRun a force=true

then
  h1 decides TerminationEscalated reason="it ignores SIGTERM"
  h1 has nothing to do: it is so already
  a: terminating on h1, attempt 1
     being ended by force for kill, asked by ada (cli)

when
  +97s  h1       ProcessExited a signal=SIGKILL
  +97s  h1       RunKilled a method=force
  +99s  ada/cli  KillRun a

then
  the plane refuses (already_ended): a had already ended as killed: there is nothing to kill
  a: killed on h1, attempt 1
     exit: SIGKILL
     receipt: force, verified by cgroup
