"""It waits for a child that does nothing.

Verdict: waiting_on_child.
"""

import subprocess

print("running the helper", flush=True)
subprocess.run(["sleep", "3600"], check=True)
