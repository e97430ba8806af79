"""It tries a few times, and then it works."""

import time

for attempt in range(8):
    print(f"attempt {attempt} failed: connection refused, retrying in 1 s", flush=True)
    time.sleep(1)
print("connected")
time.sleep(1)
