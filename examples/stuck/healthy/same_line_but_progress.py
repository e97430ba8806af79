"""The same line again and again, while its progress is reported elsewhere."""

import time

import runplane

for _ in runplane.track(range(150)):
    print("processing the next issue", flush=True)
    time.sleep(0.07)
