"""A crash loses nobody: what was in hand is done again after the restart."""

import pytest
from kit import BATCH, STREAMING, tally, users, wait_until

MOMENTS = {
    "streaming, in the middle of a message": (STREAMING, [], "updating user"),
    "batch, in the middle of a batch": (BATCH, ["--interval", 0.5], "updating status"),
    "batch, with a filled buffer": (BATCH, ["--interval", 600], "received a message"),
}

DYING = """
import sys
from kafka import KafkaConsumer
worker = __import__(sys.argv.pop(1))
poll = KafkaConsumer.poll
def die(self, **options):
    if worker.emails.qsize() == 3:
        raise RuntimeError("the client broke")
    return poll(self, **options)
KafkaConsumer.poll = die
worker.main()
"""


@pytest.mark.parametrize(("script", "flags", "moment"), MOMENTS.values(), ids=MOMENTS.keys())
def test_nobody_is_missing_after_sigkill(start, signups, script, flags, moment):
    signups.publish(*users(*range(10)))
    crashed = start(script, *flags, "--work-seconds", 1)
    crashed.wait_for(moment)
    crashed.kill()
    done = signups.committed()
    assert crashed.finished == users(*range(done)), "only finished work may be committed"

    successor = start(script, "--interval" if script == BATCH else "--work-seconds", 0)
    # It waits for session_timeout_ms, 10 s: only then the group gives the dead member up.
    successor.wait_for("finished processing")
    wait_until(lambda: signups.lag() == 0, "an empty topic")
    assert tally(crashed, successor)[1] == set(users(*range(10)))
    assert successor.begun[0] == users(done)[0]


def test_a_consumer_thread_that_dies_is_named_after_a_last_flush(start, signups):
    signups.publish(*users(0, 1, 2))
    worker = start(BATCH, "--interval", 600, code=DYING)
    assert worker.ended() == 1
    assert worker.finished == users(0, 1, 2)
    assert signups.lag() == 0
    assert len(worker.err) == 1 and "the client broke" in worker.err[0]
