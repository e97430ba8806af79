# The program cannot be started: the run fails, and says why.

given
  +0s   ada/cli  StartRun a
  +1s   h1       RunClaimed a

then
  a: starting on h1, attempt 1

when
  +1s   h1       RunFailed a kind=launch_failed message="there is no program python4 in PATH"

then
  a: failed on h1, attempt 1
     failure: launch_failed: there is no program python4 in PATH
