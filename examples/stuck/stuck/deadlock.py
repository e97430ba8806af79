"""Two threads each wait for the lock that the other one holds.

Verdict: idle.
"""

import threading
import time

a, b = threading.Lock(), threading.Lock()


def take(first: threading.Lock, second: threading.Lock) -> None:
    with first:
        time.sleep(0.2)
        with second:
            print("never")


threads = [threading.Thread(target=take, args=locks) for locks in ((a, b), (b, a))]
for thread in threads:
    thread.start()
print("two accounts are being balanced", flush=True)
for thread in threads:
    thread.join()
