"""The result is there, and a forgotten thread keeps the program alive.

Verdict: finished_but_alive.
"""

import threading

threading.Thread(target=threading.Event().wait).start()
print("Result: 42 issues simplified. Done.", flush=True)
