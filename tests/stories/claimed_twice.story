# Two hosts claim one run: the first in log order has it, the other does not start it.

given
  +0s   ada/cli  StartRun a

then
  a: pending

when
  +1s   h1       RunClaimed a
  +1s   h2       RunClaimed a
  +2s   h2       ProcessSpawned a

then
  anomaly: RunClaimed of a: host h2 claims it, but it is starting on host h1
  anomaly: ProcessSpawned of a: it comes from host h2, the run is held by h1
  a: starting on h1, attempt 1
     anomalies: 2
