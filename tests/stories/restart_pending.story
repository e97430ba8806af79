# A restart of a run that nobody has claimed: it is canceled first, so that no host can still take it.

given
  +0s   ada/cli  StartRun a

then
  a: pending

when
  +5s   ada/cli  RestartRun a new=b
  +5s   plane    StartRun b

then
  the plane decides RunCanceled reason="restarted as b"
  the plane decides RestartAccepted new_run_id="b"
  b: pending
     restarted from: a
  a: canceled
     restarted as: b
