# A run lives and ends well.
# Its start is asked for, one host claims it, the workflow says how far it is, and the exit code decides.

given
  +0s   ada/cli  StartRun a

then
  a: pending

when
  +1s   h1       RunClaimed a
  +2s   h1       ProcessSpawned a

then
  a: running on h1, attempt 1

when
  +3s   h1       StepStarted a name=plan
  +4s   h1       ProgressReported a done=3 total=10 message="three of ten"

then
  a: running on h1, attempt 1
     step: plan
     progress: 3 of 10

when
  +5s   h1       StepCompleted a name=plan
  +9s   h1       ProcessExited a code=0
  +9s   h1       TreeVerifiedGone a
  +9s   h1       RunCompleted a

then
  a: completed on h1, attempt 1
     progress: 3 of 10
     exit: code 0
