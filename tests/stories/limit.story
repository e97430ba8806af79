# A run reaches a limit: its tree is ended at once, and it failed for that. A kill meanwhile changes nothing.

given
  +0s   ada/cli  StartRun a
  +1s   h1       RunClaimed a
  +2s   h1       ProcessSpawned a

then
  a: running on h1, attempt 1

when
  +60s  h1       RunTerminating a purpose=limit method=force grace_seconds=0 reason="it reached its limit of 64 MiB of memory"
  +60s  ada/cli  KillRun a

then
  h1 has nothing to do: it is so already
  a: terminating on h1, attempt 1
     being ended by force for limit, asked by runplane (policy)

when
  +61s  h1       ProcessExited a signal=SIGKILL
  +61s  h1       TreeVerifiedGone a
  +61s  h1       RunFailed a kind=memory_limit message="it reached its limit of 64 MiB of memory"

then
  a: failed on h1, attempt 1
     exit: SIGKILL
     failure: memory_limit: it reached its limit of 64 MiB of memory
