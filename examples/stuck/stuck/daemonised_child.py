"""The main process has ended; something that it left behind lives on, and the run with it.

Verdict: finished_but_alive.
"""

import os
import time

if os.fork() == 0:
    time.sleep(3600)
print("handed over to the background", flush=True)
