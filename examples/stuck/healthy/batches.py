"""Bursts of work, and quiet between them."""

import time

for batch in range(5):
    for row in range(200):
        print(f"batch {batch} row {row} stored", flush=True)
    time.sleep(2.2)
