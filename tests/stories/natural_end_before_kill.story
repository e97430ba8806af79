# The run ends by itself while a kill is on its way: the end stands, and the kill is refused.

given
  +0s   ada/cli  StartRun a
  +1s   h1       RunClaimed a
  +2s   h1       ProcessSpawned a

then
  a: running on h1, attempt 1

when
  +60s  ada/cli  KillRun a (undecided)
  +60s  h1       ProcessExited a code=0
  +60s  h1       RunCompleted a
  +61s  h1       decides a

then
  the plane refuses (already_ended): a had already ended as completed: there is nothing to kill
  a: completed on h1, attempt 1
     exit: code 0
