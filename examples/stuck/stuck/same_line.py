"""The same line for ever.

Verdict: looping.
"""

import time

while True:
    print("checking the queue: nothing to do", flush=True)
    time.sleep(0.05)
