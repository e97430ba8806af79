# A kill of a run that nobody has claimed.
# There is nothing to end, so it is canceled, and a claim that comes too late starts nothing.

given
  +0s   ada/cli  StartRun a

then
  a: pending

when
  +5s   ada/cli  KillRun a reason="wrong epic"

then
  the plane decides RunCanceled reason="wrong epic"
  a: canceled

when
  +6s   h1       RunClaimed a

then
  anomaly: RunClaimed of a: host h1 claims it, but it is canceled
  a: canceled
     anomalies: 1
