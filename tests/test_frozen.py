"""A worker that is frozen (Ctrl+Z, a laptop's lid, a VM's pause) for longer than its session."""

import signal

import pytest
from kit import BATCH, STREAMING, assert_each_once, tally, users, wait_until


@pytest.mark.parametrize(
    ("script", "flags"),
    [(STREAMING, []), (BATCH, ["--interval", 0.5])],
    ids=["streaming", "batch"],
)
def test_a_frozen_worker_goes_on_when_it_is_thawed(start, signups, script, flags):
    """Another one takes over meanwhile; a late commit must not set the group back."""
    signups.publish(*users(*range(5)))
    frozen = start(script, "--work-seconds", 1, *flags)
    frozen.wait_for("sending email")
    frozen.send(signal.SIGSTOP)
    successor = start(script, "--work-seconds", 0, *flags)
    wait_until(lambda: signups.lag() == 0, "the successor, once the session is over")
    frozen.send(signal.SIGCONT)
    committed = []

    def is_back():
        committed.append(signups.committed())
        return frozen.count("finished processing") and signups.members() == 2

    wait_until(is_back, "the thawed worker's return to the group")
    assert {*committed} == {5}, "set back by a late commit"

    assert successor.send(signal.SIGTERM).ended() == 0
    signups.publish(*users(5, 6))
    wait_until(lambda: signups.lag() == 0, "the thawed worker")
    assert frozen.send(signal.SIGTERM).ended() == 0
    assert tally(frozen, successor)[1] == {*users(*range(7))}
    assert frozen.begun[-2:] == users(5, 6)
    assert_each_once(users(*range(5)), successor)


@pytest.mark.parametrize("script", [STREAMING, BATCH])
def test_a_worker_that_is_frozen_while_idle_goes_on(start, signups, script):
    worker = start(script, "--work-seconds", 0)
    signups.wait_for_members(1)
    worker.send(signal.SIGSTOP)
    wait_until(lambda: signups.members() == 0, "the end of its session")
    signups.publish(*users(0))
    worker.send(signal.SIGCONT)
    wait_until(lambda: signups.lag() == 0, "the thawed worker")
    assert worker.send(signal.SIGTERM).ended() == 0
    assert {*worker.finished} == {*users(0)}
