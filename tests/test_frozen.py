"""A worker that is frozen (Ctrl+Z, a laptop's lid, a VM's pause) for longer than its session."""

import signal

import pytest
from kit import BATCH, STREAMING, assert_each_once, tally, users, wait_until

both_workers = pytest.mark.parametrize(
    ("script", "flags"),
    [(STREAMING, []), (BATCH, ["--interval", 0.5])],
    ids=["streaming", "batch"],
)


def wait_for_end_of_session(signups):
    """Wait until the group has noticed that its only member is gone."""

    def state():
        return signups.ask("describe_groups", [signups.group])[signups.group]["group_state"]

    wait_until(lambda: state() == "Empty", "the end of its session")


@both_workers
def test_a_frozen_worker_goes_on_when_it_is_thawed(start, signups, script, flags):
    """Another one takes over meanwhile; a late commit must not set the group back."""
    signups.publish(*users(*range(5)))
    with signups.never_set_back():
        frozen = start(script, "--work-seconds", 1, *flags)
        frozen.wait_for("sending email")
        frozen.send(signal.SIGSTOP)
        successor = start(script, "--work-seconds", 0, *flags)
        wait_until(lambda: signups.lag() == 0, "the successor, once the session is over")
        frozen.send(signal.SIGCONT)
        frozen.wait_for("finished processing")
        signups.wait_for_members(2)
        assert signups.committed() == 5, "set back by a late commit"

        assert successor.send(signal.SIGTERM).ended() == 0
        signups.publish(*users(5, 6))
        wait_until(lambda: signups.lag() == 0, "the thawed worker")
        assert frozen.send(signal.SIGTERM).ended() == 0
    assert tally(frozen, successor)[1] == {*users(*range(7))}
    assert frozen.begun[-2:] == users(5, 6)
    assert_each_once(users(*range(5)), successor)


@both_workers
def test_a_worker_that_is_stopped_while_frozen_says_what_it_could_not_commit(
    start, signups, script, flags
):
    """The signal takes effect when it is thawed; its work has been done by another meanwhile."""
    signups.publish(*users(0))
    with signups.never_set_back():
        frozen = start(script, *flags)
        frozen.wait_for("sending email")
        frozen.send(signal.SIGSTOP)
        successor = start(script, "--work-seconds", 0, *flags)
        wait_until(lambda: signups.lag() == 0, "the successor, once the session is over")
        assert frozen.send(signal.SIGTERM, signal.SIGCONT).ended(seconds=15) == 1
        assert successor.send(signal.SIGTERM).ended() == 0
    assert f"not committed, will be handled again: {signups.topic}" in frozen.err[-1]
    assert frozen.finished == successor.finished == users(0)


def test_a_frozen_worker_drops_what_another_one_handled_meanwhile(start, signups):
    """Even when it is given the same partition again."""
    signups.publish(*users(*range(5)))
    frozen = start(BATCH, "--interval", 600)
    frozen.wait_for("received a message", times=5)
    frozen.send(signal.SIGSTOP)
    successor = start(STREAMING, "--work-seconds", 0)
    wait_until(lambda: signups.lag() == 0, "the successor, once the session is over")
    assert successor.send(signal.SIGTERM).ended() == 0
    frozen.send(signal.SIGCONT)
    signups.wait_for_members(1)
    assert frozen.send(signal.SIGTERM).ended() == 0
    assert_each_once(users(*range(5)), frozen, successor)


@pytest.mark.slow
@pytest.mark.parametrize("script", [STREAMING, BATCH])
def test_a_worker_that_is_frozen_while_idle_goes_on(start, signups, script):
    worker = start(script, "--work-seconds", 0)
    signups.wait_for_members(1)
    worker.send(signal.SIGSTOP)
    wait_for_end_of_session(signups)
    signups.publish(*users(0))
    worker.send(signal.SIGCONT)
    wait_until(lambda: signups.lag() == 0, "the thawed worker")
    assert worker.send(signal.SIGTERM).ended() == 0
    assert {*worker.finished} == {*users(0)}
