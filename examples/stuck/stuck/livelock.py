"""Two processes hand the turn to each other for ever.

Verdict: spinning.
"""

import os

there_read, there_write = os.pipe()
back_read, back_write = os.pipe()
print("after you", flush=True)
is_child = os.fork() == 0
mine, theirs = (there_read, back_write) if is_child else (back_read, there_write)
if not is_child:
    os.write(theirs, b"you first")
while turn := os.read(mine, 64):
    os.write(theirs, turn)
