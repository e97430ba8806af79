"""Stopped by a signal, and continued soon after."""

import os
import signal
import subprocess
import time

for number in range(5):
    print("page", number, flush=True)
    subprocess.Popen(["sh", "-c", f"sleep 1; kill -CONT {os.getpid()}"])
    os.kill(os.getpid(), signal.SIGSTOP)
    time.sleep(1)
