"""A crash loses nobody: what was in hand is done again after the restart."""

import time

import pytest
from script import BATCH, STREAMING, quick, tally, users

MOMENTS = {
    "streaming, in the middle of a message": (STREAMING, [], "updating user"),
    "batch, in the middle of a batch": (BATCH, ["--interval", 0.5], "updating status"),
    "batch, with a filled buffer": (BATCH, ["--interval", 600], "received a message"),
}


@pytest.mark.parametrize(
    ("script", "flags", "moment"), MOMENTS.values(), ids=MOMENTS.keys()
)
def test_nobody_is_missing_after_sigkill(start, signups, script, flags, moment):
    """The group gives a dead member up after 10 s, its session_timeout_ms."""
    signups.publish(*users(*range(10)))
    crashed = start(script, *flags, "--work-seconds", 1)
    crashed.wait_for(moment)
    crashed.kill()
    crashed_at = time.monotonic()
    done = signups.committed()
    assert crashed.finished == users(*range(done)), "only finished work is committed"

    successor = start(script, *quick(script))
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
    assert worker.ended() == 1
    assert worker.finished == users(0, 1, 2)
    assert signups.lag() == 0
    assert worker.err[-1].startswith("error: ") and "the client broke" in worker.err[-1]
