"""Measure what batches are worth: rows per second for each size of a batch.

    pip install chdb
    python tests/bench/rows.py

The insert is the README's own process_messages(), on ClickHouse's engine.
"""

import os
import pathlib
import statistics
import sys
import tempfile
import time

sys.path.append(str(pathlib.Path(__file__).parents[1] / "support"))
from people import users
from readme import snippet
from script import BATCH

SIZES = [1, 10, 100, 1_000, 10_000]
SECONDS, ROUNDS = 0.5, 9


def measure(process_messages, size):
    """Return the rows per second of batches of this size."""
    batch, rows, started_at = users(*range(size)), 0, time.monotonic()
    while (elapsed := time.monotonic() - started_at) < SECONDS:
        process_messages(batch, 0)
        rows += size
    return rows / elapsed


with tempfile.TemporaryDirectory() as directory:
    os.environ["DATABASE"] = directory
    names = {"os": os}
    exec(snippet(BATCH), names)
    insert = names["process_messages"]
    rounds = [[measure(insert, size) for size in SIZES] for _ in range(ROUNDS)]
    names["database"].close()  # it still writes to the directory
print("| rows in a batch | rows a second |\n| ---: | ---: |")
for size, rates in zip(SIZES, zip(*rounds)):
    print(f"| {size:,} | {statistics.median(rates):,.0f} |")
