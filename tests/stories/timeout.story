# The time of a run is up: its tree is ended like in a kill, and it is `timed_out`.

given
  +0s   ada/cli  StartRun a
  +1s   h1       RunClaimed a
  +2s   h1       ProcessSpawned a

then
  a: running on h1, attempt 1

when
  +60s  h1       RunTerminating a purpose=timeout method=graceful grace_seconds=10 reason="its time of 60 s was up"

then
  a: terminating on h1, attempt 1
     being ended with 10s of grace for timeout, asked by runplane (policy)

when
  +61s  h1       ProcessExited a signal=SIGTERM
  +61s  h1       RunTimedOut a message="its time of 60 s was up"

then
  a: timed_out on h1, attempt 1
     exit: SIGTERM
     failure: timeout: its time of 60 s was up
     receipt: graceful, verified by cgroup
