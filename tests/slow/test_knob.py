"""The promise holds with more records a poll, the knob that the README names."""

import functools

import pytest
from people import assert_each_once, tally, users
from script import PRODUCER, STOPS, STREAMING, pace, quick


@pytest.fixture
def start_turned(start_changed):
    """Start a copy of the streaming worker that takes 20 records a poll."""
    knob = "max_poll_records={},"
    return functools.partial(start_changed, STREAMING, knob.format(1), knob.format(20))


@pytest.mark.parametrize("work_seconds", [0, 0.005], ids=["quick work", "slow work"])
def test_a_stop_in_the_middle_of_a_poll(start_turned, signups, work_seconds):
    signups.publish(*users(*range(20_000)))
    workers = []
    for number in STOPS * 3:
        workers.append(start_turned(*pace(STREAMING, work_seconds)))
        workers[-1].wait_for("finished processing", times=13)
        workers[-1].stop(number)
        assert signups.committed() == sum(len(worker.begun) for worker in workers)
    assert signups.lag() > 0, "all was done before the last stop"
    workers.append(start_turned(*quick(STREAMING)))
    signups.wait_until_done()
    workers[-1].stop()
    assert_each_once(users(*range(20_000)), *workers)


def test_a_crash_loses_nobody(start_turned, signups):
    signups.publish(*users(*range(2_000)))
    crashed = start_turned(*pace(STREAMING, 0.001))
    crashed.wait_for("finished processing", times=133)
    crashed.kill()
    assert 0 < signups.committed() < 2_000
    successor = start_turned(*quick(STREAMING))
    signups.wait_until_done()
    successor.stop()
    assert tally(crashed, successor)[1] == {*users(*range(2_000))}


@pytest.mark.parametrize("signups", [6], indirect=True, ids=["six partitions"])
def test_workers_are_replaced_under_load(start_turned, start, signups):
    producer = start(PRODUCER, "--partitions", 6, "--count", 8_000, "--delay", 0)
    workers = []
    for number in [None, None, *STOPS]:
        workers.append(start_turned(*pace(STREAMING, 0.003)))
        workers[-1].wait_for("finished processing")  # the others gave up partitions
        if number:
            workers[-3].stop(number)
    assert signups.lag() > 0, "all was done before the last worker came"
    for worker in workers[-2:]:
        worker.stop()
    workers.append(start_turned(*quick(STREAMING)))
    assert producer.ended() == 0
    signups.wait_until_done()
    workers[-1].stop()
    assert_each_once(users(*range(8_000)), *workers)
