# Facts that come late, twice, from elsewhere or without proof are kept as anomalies, and change nothing.

given
  +0s   ada/cli  StartRun a
  +1s   h1       RunClaimed a
  +2s   h1       ProcessSpawned a

then
  a: running on h1, attempt 1

when
  +10s  h1       ProcessSpawned a
  +11s  h2       ProgressReported a done=9 total=9
  +12s  h2       RunClaimed a
  +13s  h1       RunCompleted a attempt=2

then
  anomaly: ProcessSpawned of a: ProcessSpawned cannot happen to a run that is running
  anomaly: ProgressReported of a: it comes from host h2, the run is held by h1
  anomaly: RunClaimed of a: host h2 claims it, but it is running on host h1
  anomaly: RunCompleted of a: it speaks of attempt 2, the run is in attempt 1
  a: running on h1, attempt 1
     anomalies: 4

when
  +20s  h1       RunCompleted a
  +21s  h1       RunFailed a
  +22s  h1       ProgressReported a done=9 total=9
  +23s  plane    RunLost a

then
  anomaly: RunFailed of a: the run had already ended as completed
  anomaly: ProgressReported of a: the run had already ended as completed
  anomaly: RunLost of a: the run had already ended as completed
  a: completed on h1, attempt 1
     anomalies: 7
