# An outcome is declared of a run that nobody has claimed: there is nothing to end.

given
  +0s   ada/cli  StartRun a

then
  a: pending

when
  +5s   ada/cli  ForceCompleteRun a reason="not needed any more"

then
  the plane decides OutcomeOverridden outcome="failed" reason="not needed any more" observed="no process had been started"
  a: failed
     failure: forced: not needed any more
     declared: failed by ada; observed: no process had been started
