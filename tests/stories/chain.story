# A chain: twice from the checkpoint, once from the beginning, then an operator is asked, who has it tried once more.

given
  +0s   ada/cli  StartRun a recovery='{"chain": [{"do": "resume", "times": 2}, {"do": "restart"}, {"do": "escalate"}]}'
  +1s   h1       RunClaimed a
  +2s   h1       ProcessSpawned a

then
  a: running on h1, attempt 1

when
  +9s   h1       attempt a code=3

then
  a: pending on no host, attempt 1
     attempt 2: at not scheduled yet, from the last checkpoint
     failure: exit_code: exit_code

when
  +9s   plane    RetryScheduled a attempt=2 at=12 resume=true
  +13s  h1       RunClaimed a claims=2
  +13s  h1       ProcessSpawned a
  +19s  h1       attempt a ending=timed_out kind=timeout message="its time of 6 s was up"

then
  a: pending on no host, attempt 2
     attempt 3: at not scheduled yet, from the last checkpoint
     failure: timeout: its time of 6 s was up

when
  +19s  plane    RetryScheduled a attempt=3 at=22 resume=true
  +23s  h1       RunClaimed a claims=3
  +23s  h1       ProcessSpawned a
  +29s  h1       attempt a ending=stuck kind=stuck message="stuck (idle): it sleeps"

then
  a: pending on no host, attempt 3
     attempt 4: at not scheduled yet, from the beginning
     failure: stuck: stuck (idle): it sleeps

when
  +29s  plane    RetryScheduled a attempt=4 at=32
  +33s  h1       RunClaimed a claims=4
  +33s  h1       ProcessSpawned a
  +39s  h1       attempt a code=1 message="the main process ended with exit code 1"

then
  a: pending on no host, attempt 4
     awaiting_decision: attempt 4 failed: the main process ended with exit code 1
     failure: exit_code: the main process ended with exit code 1

when
  +60s  bob/dashboard  DecideRun a decision=resume reason="the disk was full"
  +61s  h2       RunClaimed a claims=5
  +61s  h2       ProcessSpawned a
  +62s  h2       RunCompleted a

then
  the plane decides RetryScheduled attempt=5 at="2026-03-01T12:01:00Z" resume=true why="the disk was full"
  a: completed on h2, attempt 5
