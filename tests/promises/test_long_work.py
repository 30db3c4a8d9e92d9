"""Work that takes long: how long it may take, and what the other workers feel.

Work may take 15 minutes. That is too long to wait for, so most tests here run a worker
for which four_seconds_for_15_minutes.py has divided this limit by 225.
"""

import signal
import time

import pytest
from people import assert_each_once, users
from script import NOT_COMMITTED, pace, quick, wait_until

SHORTENED, LIMIT_SECONDS = "four_seconds_for_15_minutes", 4


def test_work_within_the_limit_is_done_once(start, signups, worker_script):
    """The limit of kafka-python, five minutes, would be over by now."""
    signups.publish(*users(0))
    worker = start(worker_script, *pace(worker_script, 1.4), altered=SHORTENED)
    signups.wait_until_done()
    worker.stop()
    assert_each_once(users(0), worker)
    assert "not committed" not in "".join(worker.err)


def test_work_beyond_the_limit_is_repeated_and_warned_of(start, signups, worker_script):
    """The worker has left the group by then, and the broker refuses its commit."""
    signups.publish(*users(0))
    worker = start(worker_script, *pace(worker_script, 3), altered=SHORTENED)
    worker.wait_for("sending email", times=2)
    assert signups.committed() == 0
    [warning] = [line for line in worker.err if NOT_COMMITTED in line]
    assert warning.startswith("WARNING") and signups.topic in warning
    worker.send(signal.SIGTERM).failed(NOT_COMMITTED)
    assert worker.begun == worker.finished == users(0, 0)


@pytest.mark.parametrize("signups", [2], indirect=True, ids=["two partitions"])
def test_a_worker_that_hangs_holds_up_the_others_no_longer_than_the_limit(
    start, signups, worker_script
):
    """A newcomer starts a rebalance, which has to wait for the worker that hangs."""
    hanging = start(worker_script, *pace(worker_script, 600), altered=SHORTENED)
    idle = start(worker_script, *quick(worker_script), altered=SHORTENED)
    signups.wait_for_members(2)
    signups.publish(*users(0), partition=0)
    signups.publish(*users(1), partition=1)
    hanging.wait_for("sending email")
    idle.wait_for("finished processing")

    newcomer = start(worker_script, *quick(worker_script), altered=SHORTENED)
    wait_until(lambda: not signups.members(), "a rebalance")
    rebalance_at = time.monotonic()
    signups.publish(*users(2), partition=0)
    signups.publish(*users(3), partition=1)
    signups.wait_until_done()
    assert time.monotonic() - rebalance_at < LIMIT_SECONDS + 6
    idle.stop()
    newcomer.stop()
    assert {*idle.finished, *newcomer.finished} == {*users(*range(4))}


@pytest.mark.slow
def test_work_longer_than_the_session_is_done_once(start, signups, worker_script):
    """A newcomer waits until it is over, but can be stopped meanwhile."""
    signups.publish(*users(0))
    busy = start(worker_script, *pace(worker_script, 8))
    busy.wait_for("sending email")
    newcomer, stopped = (start(worker_script) for _ in range(2))
    wait_until(lambda: not signups.members(), "a rebalance")
    stopped.wait_for("waiting for messages")
    busy.wait_for("updating")
    said = len(stopped.err)
    stopped.stop(seconds=5)
    assert stopped.err[said:] == [], "a graceful stop that looks like a failure"
    busy.wait_for("finished processing")
    signups.wait_for_members(2)
    assert signups.lag() == 0
    busy.stop()
    newcomer.stop()
    assert_each_once(users(0), busy, newcomer, stopped)
