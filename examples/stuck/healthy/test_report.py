"""Many lines that look alike, as a test runner prints them."""

import time

for number in range(160):
    print(f"test_{number // 16:02}::case_{number % 16:x} PASSED, 0 failed, error rate 0.{number}", flush=True)
    time.sleep(0.06)
