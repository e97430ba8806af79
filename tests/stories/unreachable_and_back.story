# A host is cut off and comes back: its runs go on, and what it saw meanwhile counts.

given
  +0s   ada/cli  StartRun a
  +1s   h1       RunClaimed a
  +2s   h1       ProcessSpawned a

then
  a: running on h1, attempt 1

when
  +60s  plane    RunUnreachable a

then
  a: unreachable on h1, attempt 1

when
  +70s  ada/cli  KillRun a (undecided)
  +90s  h1       ProgressReported a done=5 total=10
  +91s  plane    RunReachable a

then
  a: running on h1, attempt 1
     progress: 5 of 10

when
  +92s  h1       decides a

then
  h1 decides RunTerminating purpose="kill" method="graceful" grace_seconds=10.0
  a: terminating on h1, attempt 1
     being ended with 10s of grace for kill, asked by ada (cli)
     progress: 5 of 10
