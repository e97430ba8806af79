# The last attempt that its workflow allows fails as well, and an exit code after which nothing is tried again ends it.

given
  +0s   ada/cli  StartRun a retry='{"max_attempts": 2, "not_on_exit": [2]}'
  +1s   h1       RunClaimed a
  +2s   h1       ProcessSpawned a
  +9s   h1       attempt a code=3
  +9s   plane    RetryScheduled a attempt=2 at=12
  +13s  h1       RunClaimed a claims=2
  +13s  h1       ProcessSpawned a

then
  a: running on h1, attempt 2

when
  +19s  h1       attempt a code=3

then
  a: failed on h1, attempt 2
     failure: exit_code: exit_code

given
  +20s  ada/cli  StartRun b retry='{"max_attempts": 2, "not_on_exit": [2]}'
  +21s  h1       RunClaimed b
  +22s  h1       ProcessSpawned b

then
  b: running on h1, attempt 1

when
  +29s  h1       attempt b code=2

then
  b: failed on h1, attempt 1
     failure: exit_code: exit_code
