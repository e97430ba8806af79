"""An agent that makes the same plan again and again.

Verdict: looping.
"""

import time

PLAN = (
    "read the issue",
    "open main.py",
    "edit line 12",
    "run the tests",
    "1 failed",
    "undo the edit",
    "think again",
)
while True:
    for line in PLAN:
        print(line, flush=True)
        time.sleep(0.01)
