# Orders to no run, or that came too late, are refused with what to do next.

given
  +0s   ada/cli  StartRun a
  +1s   h1       RunClaimed a
  +2s   h1       ProcessSpawned a

then
  a: running on h1, attempt 1

when
  +3s   ada/cli  KillRun b
  +9s   ada/cli  KillRun a expires_at=2026-03-01T12:00:05Z
  +9s   ada/cli  StepRun a

then
  anomaly: KillRun of b: it speaks of a run that nobody asked for
  the plane refuses (unknown_run): there is no run b: see runplane ps --all
  h1 refuses (expired): the order for a was only good until 2026-03-01T12:00:05+00:00: ask again
  h1 refuses (not_paused): a is running: only a held run can be stepped. Hold it with runplane pause a, or where it comes to a step with runplane break a 'step:*'
  b: nobody asked for it
  a: running on h1, attempt 1
