# A run waits for a decision: one operator gives it up; another declares such a run completed; a third kills one.

given
  +0s   ada/cli  StartRun a recovery='{"chain": [{"do": "escalate"}]}'
  +1s   h1       RunClaimed a
  +2s   h1       ProcessSpawned a
  +9s   h1       attempt a code=3 message="the main process ended with exit code 3"
  +0s   ada/cli  StartRun b recovery='{"chain": [{"do": "escalate"}]}'
  +1s   h1       RunClaimed b
  +2s   h1       ProcessSpawned b
  +9s   h1       attempt b code=3
  +0s   ada/cli  StartRun c recovery='{"chain": [{"do": "escalate"}]}'
  +1s   h1       RunClaimed c
  +2s   h1       ProcessSpawned c
  +9s   h1       attempt c code=3

then
  a: pending on no host, attempt 1
     awaiting_decision: attempt 1 failed: the main process ended with exit code 3
     failure: exit_code: the main process ended with exit code 3
  b: pending on no host, attempt 1
     awaiting_decision: attempt 1 failed: exit_code
     failure: exit_code: exit_code
  c: pending on no host, attempt 1
     awaiting_decision: attempt 1 failed: exit_code
     failure: exit_code: exit_code

when
  +60s  bob/mcp  DecideRun a decision=give_up reason="nobody needs it"

then
  the plane decides RunFailed failure={"kind": "exit_code", "message": "the main process ended with exit code 3"}
  a: failed on h1, attempt 1
     failure: exit_code: the main process ended with exit code 3

when
  +61s  bob/cli  ForceCompleteRun b outcome=completed reason="the report is there"

then
  the plane decides OutcomeOverridden outcome="completed" reason="the report is there" observed="attempt 1 on host h1 was over (failed); no other had been started"
  b: completed on h1, attempt 1
     declared: completed by bob; observed: attempt 1 on host h1 was over (failed); no other had been started

when
  +62s  bob/cli  KillRun c

then
  the plane decides RunLost failure={"kind": "killed_unaccounted", "message": "it was killed before another attempt; the processes of attempt 1 on host h1 cannot be accounted for"}
  c: lost on h1, attempt 1
     failure: killed_unaccounted: it was killed before another attempt; the processes of attempt 1 on host h1 cannot be accounted for

when
  +63s  bob/cli  DecideRun a decision=retry

then
  the plane refuses (nothing_to_decide): a is failed and waits for no decision: restart it to run it again
  a: failed on h1, attempt 1
     failure: exit_code: the main process ended with exit code 3
