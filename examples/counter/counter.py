"""Count, one line at a time: the smallest workflow that shows progress, ends as it is told to, and knows no SDK."""

import argparse
import json
import os
import sys
import time


def main() -> int:
    """Count to ``count``; stop at ``fail_at`` with an error; end with ``exit_code``."""
    parser = argparse.ArgumentParser(description="Count.")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--interval", type=float, default=0.1, help="seconds between two numbers")
    parser.add_argument("--fail-at", type=int, default=0, help="stop with an error at this number; 0: never")
    parser.add_argument(
        "--exit-code", type=int, default=0, help="what to end with; at --fail-at, 0 becomes 1"
    )
    options = parser.parse_args()
    for number in range(1, options.count + 1):
        print(number, flush=True)
        report({"progress": {"done": number, "total": options.count, "unit": "numbers"}})
        if number == options.fail_at:
            print(f"failing at {number}, as it was told to", file=sys.stderr, flush=True)
            return options.exit_code or 1
        time.sleep(options.interval)
    return int(options.exit_code)


def report(body: dict[str, object]) -> None:
    """One line, one write, to a file opened for appending."""
    directory = os.environ.get("RUNPLANE_DIR")
    if directory:
        with open(os.path.join(directory, "reports.jsonl"), "ab", buffering=0) as reports:  # noqa: PTH118, PTH123
            reports.write(json.dumps({"t": time.time(), **body}).encode() + b"\n")


if __name__ == "__main__":
    sys.exit(main())
