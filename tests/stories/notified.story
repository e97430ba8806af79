# Somebody is told of a run, or could not be: that stands in its story, and changes nothing else,
# also after the end, when most of it is told.

given
  +0s   ada/cli  StartRun a
  +1s   h1       RunClaimed a host=h1 attempt=1 boot_id=b agent_id=x
  +2s   h1       ProcessSpawned a

then
  a: running on h1, attempt 1

when
  +60s  plane    NotificationDelivered a notification_id=n1 target=oncall about=stuck attempts=1 status=204

then
  a: running on h1, attempt 1

when
  +70s  h1       RunFailed a kind=exit message="exit 1"
  +90s  plane    NotificationFailed a notification_id=n2 target=oncall about=failed attempts=10 status=500 error="500 Internal Server Error"

then
  a: failed on h1, attempt 1
     failure: exit: exit 1
