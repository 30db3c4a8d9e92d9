"""Workers share a group: one takes over from another, and partitions move between them."""

import signal
import time

import pytest
from kit import BATCH, PRODUCER, STREAMING, assert_each_once, users, wait_until

ATTENTIVE = """
import sys
from kafka import KafkaConsumer
init, poll = KafkaConsumer.__init__, KafkaConsumer.poll
def attentive(self, *topics, **settings):
    init(self, *topics, **{**settings, "metadata_max_age_ms": 200})
def impatient(self, timeout_ms, max_records):
    return poll(self, timeout_ms=5, max_records=max_records)
KafkaConsumer.__init__, KafkaConsumer.poll = attentive, impatient
__import__(sys.argv.pop(1)).main()
"""
NAMED = """
import os, sys, time
from kafka import KafkaConsumer
from kafka.coordinator.consumer import ConsumerCoordinator
init = KafkaConsumer.__init__
def named(self, *topics, **settings):
    init(self, *topics, **settings, client_id=os.environ["NAME"])
KafkaConsumer.__init__ = named
"""
MAIN = "__import__(sys.argv.pop(1)).main()"
FETCHES_OFFSETS_LATE = """
fetch = ConsumerCoordinator._send_offset_fetch_request
async def late(self, partitions):
    answer = await fetch(self, partitions)
    print("fetched the offset", flush=True)
    await self._net.sleep(5)
    return answer
ConsumerCoordinator._send_offset_fetch_request = late
"""
SYNCS_LATE = """
join = ConsumerCoordinator._process_join_group_response
def late(self, *arguments):
    answer = join(self, *arguments)
    while not os.path.exists(os.environ["GATE"]):
        time.sleep(0.01)
    return answer
ConsumerCoordinator._process_join_group_response = late
"""


@pytest.mark.parametrize(
    ("first", "second"),
    [(STREAMING, BATCH), (BATCH, STREAMING)],
    ids=["batch takes over from streaming", "streaming takes over from batch"],
)
def test_the_other_worker_goes_on_where_one_stopped(start, signups, first, second):
    flags = {BATCH: ["--interval", 0.2], STREAMING: ["--work-seconds", 0.1]}
    signups.publish(*users(*range(5)))
    stopped = start(first, *flags[first])
    stopped.wait_for("sending email")
    assert stopped.send(signal.SIGINT).ended() == 0
    signups.publish(*users(*range(5, 10)))
    successor = start(second, *flags[second])
    wait_until(lambda: signups.lag() == 0, "an empty topic")
    assert successor.send(signal.SIGINT).ended() == 0
    assert_each_once(users(*range(10)), stopped, successor)


@pytest.mark.parametrize("signups", [6], indirect=True, ids=["six partitions"])
@pytest.mark.parametrize(
    ("script", "flags"),
    [(STREAMING, ["--work-seconds", 0.05]), (BATCH, ["--interval", 1, "--work-seconds", 0.2])],
    ids=["streaming", "batch"],
)
def test_members_replaced_gracefully_lose_nobody_and_repeat_nobody(start, signups, script, flags):
    workers = [start(script, *flags) for _ in range(3)]
    signups.wait_for_members(3)
    producer = start(PRODUCER, "--partitions", 6, "--count", 1_000_000, "--delay", 0.02)
    running = list(workers)
    for number in [signal.SIGINT, signal.SIGTERM, signal.SIGHUP] * 2:
        running[0].wait_for("finished processing")
        assert running.pop(0).send(number).ended() == 0
        workers.append(start(script, *flags))
        running.append(workers[-1])
        signups.wait_for_members(3)
    assert producer.send(signal.SIGTERM).ended() == 0
    wait_until(lambda: signups.lag() == 0, "an empty topic")
    for worker in running:
        assert worker.send(signal.SIGTERM).ended() == 0
    assert_each_once(producer.published, *workers)
    assert [worker.err for worker in workers if worker.err] == []


def test_a_dead_worker_is_replaced_within_15_seconds(start, signups):
    signups.publish(*users(0, 1))
    dead = start(STREAMING, "--work-seconds", 600)
    dead.wait_for("sending email")
    dead.kill()
    died_at = time.monotonic()
    successor = start(STREAMING, "--work-seconds", 0)
    successor.wait_for("finished processing message", times=2)
    assert time.monotonic() - died_at < 15
    assert successor.finished == users(0, 1)


@pytest.mark.slow
@pytest.mark.parametrize("signups", [2], indirect=True, ids=["two partitions"])
@pytest.mark.parametrize("script", [STREAMING, BATCH])
def test_a_join_that_outlasts_a_poll_is_not_forgotten(start, signups, script):
    """Partitions are added while another member is busy; kafka-python 3.0 alone hangs for ever."""
    flag = "--interval" if script == BATCH else "--work-seconds"
    waiting = start(script, flag, 0, code=ATTENTIVE)
    for partitions in (2, 4, 6):  # it does not hang every time
        busy = start(STREAMING, "--work-seconds", 1)
        signups.wait_for_members(2)
        flags = ["--partitions", partitions, "--count", 20, "--delay", 0]
        assert start(PRODUCER, *flags).ended() == 0
        busy.wait_for("sending email")
        signups.admin.create_partitions({signups.topic: partitions + 2})
        wait_until(lambda: not signups.members(), "a rebalance")
        assert busy.send(signal.SIGTERM).ended() == 0
        wait_until(lambda: signups.lag() == 0, "an empty topic")
    assert waiting.send(signal.SIGTERM).ended() == 0


@pytest.mark.slow
@pytest.mark.parametrize("script", [STREAMING, BATCH])
def test_an_offset_fetched_before_a_rebalance_is_not_used_after_it(start, signups, script):
    """Its answer is slow; kafka-python 3.0 alone keeps it until it gets the partition again."""
    lagging = start(script, code=NAMED + FETCHES_OFFSETS_LATE + MAIN, env={"NAME": "z"})
    lagging.wait_for("fetched the offset")
    other = start(STREAMING, "--work-seconds", 0)
    signups.wait_for_members(2)
    signups.publish(*users(0))
    other.wait_for("finished processing")
    assert other.send(signal.SIGTERM).ended() == 0
    signups.publish(*users(1))
    lagging.wait_for("finished processing")
    assert lagging.send(signal.SIGTERM).ended() == 0
    assert_each_once(users(0, 1), other, lagging)


@pytest.mark.parametrize("script", [STREAMING, BATCH])
def test_a_partition_that_another_had_during_a_rebalance_is_read_anew(
    start, signups, script, tmp_path
):
    """It goes from the lagging worker to another and back, before that knows of the first move."""
    gate = tmp_path / "gate"
    gate.touch()
    leader = start(STREAMING, code=NAMED + MAIN, env={"NAME": "z"})
    signups.wait_for_members(1)
    lagging = start(script, code=NAMED + SYNCS_LATE + MAIN, env={"NAME": "y", "GATE": str(gate)})
    signups.wait_for_members(2)
    signups.publish(*users(0))
    lagging.wait_for("finished processing")
    gate.unlink()
    other = start(STREAMING, "--work-seconds", 0, code=NAMED + MAIN, env={"NAME": "x"})
    # Not for three: kafka-python 3.0 forgets a join that ends between two polls, and joins anew,
    # without the lagging one then, whose session is over before it can follow.
    wait_until(lambda: "x" in signups.members(), "the other one in the group")
    signups.publish(*users(1))
    other.wait_for("finished processing")
    assert other.send(signal.SIGTERM).ended() == 0
    gate.touch()
    signups.publish(*users(2))
    wait_until(lambda: signups.lag() == 0, "an empty topic")
    for worker in (lagging, leader):
        assert worker.send(signal.SIGTERM).ended() == 0
    assert_each_once(users(0, 1, 2), other, lagging)


def test_a_second_worker_of_one_partition_waits(start, signups):
    """It says so, once, and takes over when the first one goes."""
    first = start(STREAMING, "--work-seconds", 0)
    signups.wait_for_members(1)
    second = start(STREAMING, "--work-seconds", 0)
    idle = wait_until(lambda: [worker for worker in (first, second) if worker.err], "a warning")
    assert len(idle) == 1 and "no partition to read" in idle[0].err[0]
    [other] = {first, second} - {*idle}
    signups.publish(*users(0))
    other.wait_for("finished processing")
    assert other.send(signal.SIGTERM).ended() == 0
    signups.publish(*users(1))
    idle[0].wait_for("finished processing")
    assert idle[0].send(signal.SIGTERM).ended() == 0
    assert_each_once(users(0, 1), first, second)
    assert other.err == [] and len(idle[0].err) == 2 and "back again" in idle[0].err[1]


@pytest.mark.parametrize("signups", [2], indirect=True, ids=["two partitions"])
@pytest.mark.parametrize("leaves", [False, True], ids=["it stays", "it hands the partition back"])
def test_a_buffer_is_rid_of_what_a_new_worker_took_over(start, signups, leaves):
    assert start(PRODUCER, "--partitions", 2, "--count", 20, "--delay", 0).ended() == 0
    buffering = start(BATCH, "--interval", 600)
    buffering.wait_for("received a message", times=20)
    newcomer = start(STREAMING, "--work-seconds", 0)
    signups.wait_for_members(2)
    newcomer.wait_for("finished processing")
    for worker in [newcomer, buffering] if leaves else [buffering, newcomer]:
        assert worker.send(signal.SIGTERM).ended() == 0
    last = start(STREAMING, "--work-seconds", 0)
    signups.wait_for_members(1)
    wait_until(lambda: signups.lag() == 0, "an empty topic")
    assert last.send(signal.SIGTERM).ended() == 0
    assert_each_once(users(*range(20)), newcomer, buffering, last)


@pytest.mark.parametrize("signups", [6], indirect=True, ids=["six partitions"])
def test_a_buffer_is_left_to_the_group_while_a_rebalance_is_under_way(start, signups):
    """Nobody can commit then: users who were emailed now would be emailed again."""
    stopped = start(BATCH, "--interval", 600)
    busy = start(STREAMING, "--work-seconds", 5)
    signups.wait_for_members(2)
    assert start(PRODUCER, "--partitions", 6, "--count", 30, "--delay", 0).ended() == 0
    busy.wait_for("sending email")
    stopped.wait_for("received a message")
    newcomer = start(STREAMING, "--work-seconds", 0)
    wait_until(lambda: "left to the group" in stopped.out[-1], "the rebalance")
    assert stopped.send(signal.SIGTERM).ended() == 0
    assert stopped.begun == [] and "left to the group" in stopped.out[-2]
    assert busy.send(signal.SIGTERM).ended() == 0
    wait_until(lambda: signups.lag() == 0, "an empty topic")
    assert newcomer.send(signal.SIGTERM).ended() == 0
    assert_each_once(users(*range(30)), busy, newcomer)
