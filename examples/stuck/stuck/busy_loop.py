"""A loop whose condition nobody will ever change.

Verdict: spinning.
"""

print("waiting until it is done", flush=True)
done = False
while not done:
    pass
