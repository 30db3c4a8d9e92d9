"""A worker that freezes (Ctrl+Z, a paused VM) for longer than its session lasts.

The group declares a worker lost that was silent for ten seconds.
"""

import signal
import time

from people import assert_each_once, tally, users
from script import BATCH, NOT_COMMITTED, STREAMING, pace, quick


def test_a_frozen_worker_goes_on_when_it_thaws(start, signups, worker_script):
    """Another one takes over meanwhile; a late commit must not set the group back."""
    signups.publish(*users(*range(5)))
    with signups.never_set_back():
        frozen = start(worker_script, *pace(worker_script, 1))
        frozen.wait_for("sending email")
        frozen.send(signal.SIGSTOP)
        frozen_at = time.monotonic()
        successor = start(worker_script, *quick(worker_script))
        successor.wait_for("finished processing")
        assert time.monotonic() - frozen_at < 15, "the group waited too long for it"
        signups.wait_until_done()
        frozen.send(signal.SIGCONT)
        frozen.wait_for("finished processing")
        signups.wait_for_members(2)
        assert signups.committed() == 5

        successor.stop()
        signups.publish(*users(5, 6))
        signups.wait_until_done()
        frozen.stop()
    assert tally(frozen, successor)[1] == {*users(*range(7))}
    assert frozen.begun[-2:] == users(5, 6)
    assert_each_once(users(*range(5)), successor)
    assert NOT_COMMITTED in "".join(frozen.problems)


def test_a_worker_that_is_stopped_while_frozen_names_what_it_could_not_commit(
    start, signups, worker_script
):
    """The signal arrives when it thaws. Another worker has done its work meanwhile."""
    signups.publish(*users(0))
    with signups.never_set_back():
        frozen = start(worker_script, *pace(worker_script, 1))
        frozen.wait_for("sending email")
        frozen.send(signal.SIGSTOP)
        successor = start(worker_script, *quick(worker_script))
        signups.wait_until_done()
        frozen.send(signal.SIGTERM, signal.SIGCONT)
        named = [NOT_COMMITTED, signups.topic, "partition=0", "offset=1"]
        frozen.failed(*named, seconds=15)
        successor.stop()
    assert frozen.finished == successor.finished == users(0)


def test_a_thawed_worker_drops_what_another_one_handled_meanwhile(
    start, signups, complete
):
    """Even if it gets the same partition back."""
    signups.publish(*users(*range(5)))
    frozen = start(BATCH, "--interval", 600)
    frozen.wait_for("received a message", times=5)
    frozen.send(signal.SIGSTOP)
    successor = complete(STREAMING)
    frozen.send(signal.SIGCONT)
    signups.wait_for_members(1)
    frozen.wait_for("rebalance: 5 messages")
    frozen.stop()
    assert_each_once(users(*range(5)), frozen, successor)
