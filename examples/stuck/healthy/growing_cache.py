"""Memory grows and grows, and so does what it has done."""

import time

cache = []
for _ in range(60):
    cache.append(bytes(2 << 20))
    print(f"cached {len(cache)} pages", flush=True)
    time.sleep(0.15)
