"""A crash loses nobody: what was in hand is done again after the restart."""

import time

from people import tally, users
from script import BATCH, pace, quick


def test_nobody_is_missing_after_sigkill(start, signups, worker_script):
    """The group gives a dead member up after 10 s, its session_timeout_ms."""
    signups.publish(*users(*range(10)))
    crashed = start(worker_script, *pace(worker_script, 1))
    crashed.wait_for("updating")
    crashed.kill()
    crashed_at = time.monotonic()
    done = signups.committed()
    assert crashed.finished == users(*range(done)), "only finished work is committed"

    successor = start(worker_script, *quick(worker_script))
    successor.wait_for("sending email")
    assert time.monotonic() - crashed_at < 15
    signups.wait_until_done()
    successor.stop()
    assert tally(crashed, successor)[1] == set(users(*range(10)))
    assert successor.begun[0] == users(done)[0]


def test_a_client_that_breaks_is_named_after_a_last_flush(start, signups):
    """The consumer thread of the batch worker ends, its buffer is full of users."""
    signups.publish(*users(0, 1, 2))
    worker = start(BATCH, "--interval", 600, altered="client_breaks")
    worker.failed(": RuntimeError('the client broke')")
    assert worker.finished == users(0, 1, 2)
    assert signups.lag() == 0


def test_a_client_that_breaks_at_the_end_does_not_matter(start, signups, worker_script):
    signups.publish(*users(0))
    worker = start(worker_script, *quick(worker_script), altered="client_breaks")
    signups.wait_until_done()
    worker.stop()
