"""A loss that falls, in lines that are alike but for their numbers."""

import time

for epoch in range(120):
    loss = 3.0 / (epoch + 1)
    print(f"epoch {epoch}: loss {loss:.4f} error {loss / 7:.4f} lr 0.001", flush=True)
    time.sleep(0.08)
