"""A long queue waits: a worker gets through it, and its memory does not grow."""

import signal
import tempfile
import time

import psutil
import pytest
from kit import BATCH, STREAMING, assert_each_once, users

MEGABYTE = 1_000_000


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("script", "count"),
    [(BATCH, 1_000_000), (STREAMING, 100_000)],
    ids=["a million through the batch worker", "100,000 through the streaming worker"],
)
def test_memory_is_flat_under_load(start, signups, script, count):
    signups.publish(*users(*range(count)), linger_ms=20, batch_size=256_000)
    with tempfile.TemporaryFile("w+") as out:  # a pipe would wait for us now and then
        worker = start(script, "--work-seconds", 0, stdout=out)
        process, resident = psutil.Process(worker.process.pid), []
        while (committed := signups.committed()) < count:
            assert worker.process.poll() is None, worker
            if committed > 0:
                resident.append(process.memory_info().rss)
            time.sleep(0.1)
        assert worker.send(signal.SIGTERM).ended() == 0
        out.seek(0)
        worker.out = [line for line in out if not line.startswith("received")]
    assert signups.lag() == 0
    assert_each_once(users(*range(count)), worker)
    third = len(resident) // 3
    assert max(resident) < 100 * MEGABYTE
    assert max(resident[-third:]) < max(resident[third:-third]) + 4 * MEGABYTE
