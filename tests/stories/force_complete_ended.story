# An outcome is declared of a run that has ended: refused, unless the ending is to be replaced.
# The same outcome again changes nothing.

given
  +0s   ada/cli  StartRun a
  +1s   h1       RunClaimed a
  +2s   h1       ProcessSpawned a
  +9s   h1       RunFailed a kind=exit_code message="the main process ended with exit code 3"

then
  a: failed on h1, attempt 1
     failure: exit_code: the main process ended with exit code 3

when
  +60s  ada/cli  ForceCompleteRun a outcome=completed

then
  the plane refuses (already_ended): a ended as failed: to declare it completed all the same, add --replace (replace: true)
  a: failed on h1, attempt 1
     failure: exit_code: the main process ended with exit code 3

when
  +61s  ada/cli  ForceCompleteRun a outcome=completed replace=true reason="exit code 3 means nothing to do"

then
  the plane decides OutcomeOverridden outcome="completed" reason="exit code 3 means nothing to do" observed="had ended as failed" replaced=true
  a: completed on h1, attempt 1
     declared: completed by ada; observed: had ended as failed

when
  +62s  bob/api  ForceCompleteRun a outcome=completed
  +63s  bob/api  ForceCompleteRun a outcome=failed

then
  the plane has nothing to do: it is so already
  the plane refuses (already_ended): a was declared completed by ada: to declare it failed all the same, add --replace (replace: true)
  a: completed on h1, attempt 1
     declared: completed by ada; observed: had ended as failed
