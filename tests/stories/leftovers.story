# The main process ends and leaves others behind: that is said in the run, and they are ended.

given
  +0s   ada/cli  StartRun a
  +1s   h1       RunClaimed a
  +2s   h1       ProcessSpawned a

then
  a: running on h1, attempt 1

when
  +9s   h1       LeftoversFound a pid=4250

then
  a: running on h1, attempt 1
     leftovers: main process ended; 1 processes live on and are being ended: pid 4250

when
  +9s   h1       ProcessExited a code=0
  +19s  h1       TreeVerifiedGone a
  +19s  h1       RunCompleted a

then
  a: completed on h1, attempt 1
     exit: code 0
