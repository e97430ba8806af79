# An outcome is declared of a run that is alive: its tree is ended first, and what was seen is kept.

given
  +0s   ada/cli  StartRun a
  +1s   h1       RunClaimed a
  +2s   h1       ProcessSpawned a

then
  a: running on h1, attempt 1

when
  +60s  ada/cli  ForceCompleteRun a outcome=completed reason="the report was already sent"

then
  h1 decides RunTerminating purpose="force_complete" method="graceful" grace_seconds=10.0 reason="the report was already sent" outcome="completed"
  a: terminating on h1, attempt 1
     being ended with 10s of grace for force_complete as completed, asked by ada (cli)

when
  +62s  h1       ProcessExited a signal=SIGTERM
  +62s  h1       OutcomeOverridden a outcome=completed observed="main process ended with SIGTERM; 2 processes of the tree verified gone" receipt=true

then
  a: completed on h1, attempt 1
     exit: SIGTERM
     receipt: graceful, verified by cgroup
     declared: completed by ada; observed: main process ended with SIGTERM; 2 processes of the tree verified gone
