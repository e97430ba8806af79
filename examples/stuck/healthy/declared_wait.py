"""It sleeps, and has said so."""

import time

import runplane

with runplane.step("wait for the build", expected_seconds=9):
    time.sleep(9)
print("built")
