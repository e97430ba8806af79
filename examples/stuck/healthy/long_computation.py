"""Much computing, a line of output now and then."""

import time

end = time.monotonic() + 12
found, number = 0, 1
said = time.monotonic()
while time.monotonic() < end:
    number += 2
    found += all(number % divisor for divisor in range(3, int(number**0.5) + 1, 2))
    if time.monotonic() - said > 1.8:
        said = time.monotonic()
        print(f"{found} primes up to {number}", flush=True)
