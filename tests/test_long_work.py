"""Work that takes long: how long it may, what happens beyond, and what the other workers feel."""

import signal
import time

import pytest
from kit import BATCH, STREAMING, assert_each_once, users, wait_until

TELLTALE = """
import sys
from kafka import KafkaConsumer
init = KafkaConsumer.__init__
def telltale(self, *topics, **settings):
    init(self, *topics, **settings)
    print("may work for", self.config["max_poll_interval_ms"], "ms")
KafkaConsumer.__init__ = telltale
__import__(sys.argv.pop(1)).main()
"""
IMPATIENT = """
import sys
from kafka import KafkaConsumer
init = KafkaConsumer.__init__
def impatient(self, *topics, **settings):
    # The client looks at the poll interval once per heartbeat.
    settings.update(max_poll_interval_ms=2_000, heartbeat_interval_ms=500)
    init(self, *topics, **settings)
KafkaConsumer.__init__ = impatient
__import__(sys.argv.pop(1)).main()
"""
both_workers = pytest.mark.parametrize(
    ("script", "flags"),
    [(STREAMING, []), (BATCH, ["--interval", 0.2])],
    ids=["streaming", "batch"],
)


@pytest.mark.parametrize("script", [STREAMING, BATCH])
def test_work_may_take_a_day(start, script):
    """Too long to wait for, so the client itself is asked."""
    start(script, code=TELLTALE).wait_for(f"may work for {24 * 60 * 60 * 1000} ms")


@both_workers
def test_work_longer_than_the_poll_interval_is_repeated(start, signups, script, flags):
    """Why the interval is that long: the worker leaves the group, and its commit is refused."""
    signups.publish(*users(0))
    worker = start(script, *flags, "--work-seconds", 1.5, code=IMPATIENT)
    worker.wait_for("sending email", times=3)
    assert signups.committed() == 0
    assert worker.send(signal.SIGTERM).ended() == 1
    assert worker.begun == worker.finished == users(0, 0, 0)
    assert [line.partition(": ")[0] for line in worker.err] == ["warning", "warning", "error"]
    assert [line for line in worker.err if "not committed, will be handled again" not in line] == []


@pytest.mark.slow
@both_workers
def test_work_longer_than_the_session_is_done_once(start, signups, script, flags):
    """A newcomer waits for it, can be stopped meanwhile, and is in the group as soon as it ends."""
    signups.publish(*users(0))
    busy = start(script, *flags, "--work-seconds", 8)
    busy.wait_for("sending email")
    newcomer, stopped = (start(script, *flags) for _ in range(2))
    wait_until(lambda: not signups.members(), "a rebalance")
    stopped.wait_for("waiting for messages")
    busy.wait_for("updating")
    asked_at = time.monotonic()
    assert stopped.send(signal.SIGTERM).ended() == 0
    print(f"stopped after {time.monotonic() - asked_at:.1f} s")
    assert time.monotonic() - asked_at < 5
    assert newcomer.err == stopped.err == []
    busy.wait_for("finished processing")
    signups.wait_for_members(2)
    assert signups.lag() == 0
    for worker in (busy, newcomer):
        assert worker.send(signal.SIGTERM).ended() == 0
    assert_each_once(users(0), busy, newcomer, stopped)
