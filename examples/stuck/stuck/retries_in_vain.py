"""It tries again for ever; only the numbers change.

Verdict: looping.
"""

import itertools
import random
import time

for attempt in itertools.count(1):
    pause = random.uniform(0.03, 0.08)
    print(
        f"attempt {attempt} failed: connection refused by 10.0.0.{attempt % 9}, retrying in {pause:.3f} s",
        flush=True,
    )
    time.sleep(pause)
