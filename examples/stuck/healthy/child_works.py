"""It waits for a child that works."""

import subprocess
import sys

CHILD = "import time\nfor n in range(10):\n    print('built module', n, flush=True)\n    time.sleep(1)"
subprocess.run([sys.executable, "-c", CHILD], check=True)
