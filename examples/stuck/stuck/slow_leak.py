"""It keeps all it ever saw and goes through all of it each time: every round takes twice as long as the one before.

Verdict: spinning.
"""

import itertools

kept = []
for number in itertools.count():
    kept.append(bytearray(1 << 20))
    total = sum(range(20_000 * 2**number))
    print(f"round {number}: {total}", flush=True)
