"""A long backlog: a worker gets through it, and its memory does not grow."""

import tempfile
import time

import psutil
import pytest
from people import assert_each_once, users
from script import BATCH, STREAMING, quick

MEGABYTE = 1_000_000


def work_off(worker, signups):
    """Return the memory that the worker has at each look, until all is committed."""
    process, resident = psutil.Process(worker.process.pid), []
    total = sum(signups.ends().values())
    while (committed := signups.committed()) < total:
        assert worker.process.poll() is None, worker
        if committed > 0:
            resident.append(process.memory_info().rss)
        time.sleep(0.1)
    return resident


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("script", "count"),
    [(BATCH, 1_000_000), (STREAMING, 100_000)],
    ids=["a million through the batch worker", "100,000 through the streaming worker"],
)
def test_memory_is_flat_under_load(start, signups, script, count):
    signups.publish(*users(*range(count)))
    with tempfile.TemporaryFile("w+") as out:  # a pipe would wait for us at times
        worker = start(script, *quick(script), stdout=out)
        resident = work_off(worker, signups)
        worker.stop()
        out.seek(0)
        worker.out = [line for line in out if not line.startswith("received")]
    assert_each_once(users(*range(count)), worker)
    third = len(resident) // 3
    highest = max(resident[third:-third])
    print(f"at most {max(resident) / MEGABYTE:.1f} MB, looked {len(resident)} times")
    assert max(resident) < 60 * MEGABYTE
    assert max(resident[-third:]) < highest + 4 * MEGABYTE, "it still grows"
