# A host tells what it saw while it was away before anybody noticed that it is back.

given
  +0s   ada/cli  StartRun a
  +1s   h1       RunClaimed a
  +60s  plane    RunUnreachable a

then
  a: unreachable on h1, attempt 1

when
  +90s  h1       ProcessSpawned a
  +90s  h1       RunPaused a at="step:plan"
  +91s  plane    RunReachable a

then
  a: paused on h1, attempt 1
