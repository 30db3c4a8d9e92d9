"""A crash loses nobody: what was in hand is done again after the restart."""

import pytest
from kit import BATCH, STREAMING, tally, users, wait_until

MOMENTS = {
    "streaming, in the middle of a message": (STREAMING, [], "updating user"),
    "batch, in the middle of a batch": (BATCH, ["--interval", 0.5], "updating status"),
    "batch, with a filled buffer": (BATCH, ["--interval", 600], "received a message"),
}


@pytest.mark.parametrize(("script", "flags", "moment"), MOMENTS.values(), ids=MOMENTS.keys())
def test_nobody_is_missing_after_sigkill(start, signups, script, flags, moment):
    signups.publish(*users(*range(10)))
    crashed = start(script, *flags, "--work-seconds", 1)
    crashed.wait_for(moment)
    crashed.kill()
    done = signups.committed()
    assert crashed.finished == users(*range(done)), "only finished work may be committed"

    successor = start(script, "--interval" if script == BATCH else "--work-seconds", 0)
    # The dead member is given up after session_timeout_ms, 10 s; its offsets are taken over.
    wait_until(successor.__str__, "the successor")
    successor.wait_for("finished processing")
    wait_until(lambda: signups.lag() == 0, "an empty topic")
    assert tally(crashed, successor)[1] == set(users(*range(10)))
    assert successor.begun[0] == users(done)[0]
