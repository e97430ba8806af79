"""A step that takes far longer than it may, and chats meanwhile.

Verdict: step_overrun.
"""

import itertools
import time

import runplane

with runplane.step("summarise"):
    for token in itertools.count():
        print("token", token * 7919 % 10007, flush=True)
        time.sleep(0.25)
