"""Another process holds the lock on its file, and never gives it back.

Verdict: waiting_on_io.
"""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

place = Path(os.environ["RUNPLANE_DIR"]) / "the.lock"
HOLD = "import fcntl,sys,time; f=open(sys.argv[1],'w'); fcntl.flock(f,2); print(flush=True); time.sleep(3600)"
holder = subprocess.Popen([sys.executable, "-c", HOLD, str(place)], stdout=subprocess.PIPE)
assert holder.stdout is not None
holder.stdout.readline()
print("taking the lock", flush=True)
with place.open("a") as file:
    fcntl.flock(file, fcntl.LOCK_EX)
