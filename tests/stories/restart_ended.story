# A restart of a run that has ended: its ending stays as it is.

given
  +0s   ada/cli  StartRun a
  +1s   h1       RunClaimed a
  +2s   h1       ProcessSpawned a
  +9s   h1       RunFailed a kind=exit_code message="the main process ended with exit code 3"

then
  a: failed on h1, attempt 1
     failure: exit_code: the main process ended with exit code 3

when
  +60s  ada/cli  RestartRun a new=b
  +60s  plane    StartRun b

then
  the plane decides RestartAccepted new_run_id="b"
  b: pending
     restarted from: a
  a: failed on h1, attempt 1
     failure: exit_code: the main process ended with exit code 3
     restarted as: b
