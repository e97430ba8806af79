# A host stays away and its run is given up. When it returns after all, the ending stays.

given
  +0s   ada/cli  StartRun a
  +1s   h1       RunClaimed a
  +2s   h1       ProcessSpawned a
  +60s  plane    RunUnreachable a

then
  a: unreachable on h1, attempt 1

when
  +960s plane    RunLost a kind=host_lost message="host h1 was not heard from for 15 minutes"

then
  a: lost on h1, attempt 1
     failure: host_lost: host h1 was not heard from for 15 minutes

when
  +999s plane    RunReachable a
  +999s h1       RunCompleted a

then
  anomaly: RunReachable of a: the run had already ended as lost
  anomaly: RunCompleted of a: the run had already ended as lost
  a: lost on h1, attempt 1
     failure: host_lost: host h1 was not heard from for 15 minutes
     anomalies: 2
