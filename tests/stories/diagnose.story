# Who asks what a run does changes nothing of it; a run without processes cannot be looked at.

given
  +0s   ada/cli  StartRun a
  +1s   ada/cli  DiagnoseRun a
  +2s   h1       RunClaimed a
  +3s   h1       ProcessSpawned a

then
  the plane refuses (no_processes): a is pending: it has no processes to look at
  a: running on h1, attempt 1

when
  +60s  ada/cli  DiagnoseRun a
  +61s  h1       ProcessExited a code=0
  +61s  h1       TreeVerifiedGone a
  +61s  h1       RunCompleted a
  +70s  ada/cli  DiagnoseRun a

then
  h1 has nothing to do: it is so already
  the plane refuses (no_processes): a is completed: it has no processes to look at
  a: completed on h1, attempt 1
     exit: code 0
