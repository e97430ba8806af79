"""A heartbeat whose numbers advance."""

import time

for number in range(150):
    print(f"heartbeat: {number * 37} rows read, lag {number % 7} ms", flush=True)
    time.sleep(0.07)
