"""A filter that waits on its standard input for a slow source."""

import subprocess

SOURCE = "for n in 1 2 3 4 5 6; do echo line $n; sleep 1.7; done"
subprocess.run(["sh", "-c", f"( {SOURCE} ) | grep --line-buffered line"], check=True)
