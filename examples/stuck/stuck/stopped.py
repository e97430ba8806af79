"""It was stopped by a signal, as by a stray Ctrl-Z.

Verdict: stopped.
"""

import os
import signal

print("working", flush=True)
os.kill(os.getpid(), signal.SIGSTOP)
