"""Workers share a group: one takes over from another, and partitions move."""

import itertools

import pytest
from people import assert_each_once, users
from script import BATCH, PRODUCER, STOPS, STREAMING, pace, quick, wait_until
from signups import SignUps
from way import Way

two_partitions = pytest.mark.parametrize(
    "signups", [2], indirect=True, ids=["two partitions"]
)
six_partitions = pytest.mark.parametrize(
    "signups", [6], indirect=True, ids=["six partitions"]
)


@six_partitions
def test_workers_are_replaced_under_load_and_nobody_is_emailed_twice(
    start, signups, worker_script
):
    """Three workers, eight graceful replacements, 600 users."""
    flags = pace(worker_script, 0.01)
    if worker_script == BATCH:
        flags = pace(worker_script, 0.4, interval=0.7)
    running = [start(worker_script, *flags) for _ in range(3)]
    signups.wait_for_members(3)
    producer = start(PRODUCER, "--partitions", 6, "--count", 600, "--delay", 0.02)
    workers = list(running)
    for _, number in zip(range(8), itertools.cycle(STOPS)):
        running[0].wait_for("finished processing")
        assert running.pop(0).send(number).ended(seconds=15) == 0
        workers.append(start(worker_script, *flags))
        running.append(workers[-1])
    assert producer.ended() == 0
    signups.wait_until_done()
    for worker in running:
        assert worker.send(STOPS[0]).ended(seconds=15) == 0
    assert_each_once(users(*range(600)), *workers)


@six_partitions
def test_quick_work_that_is_not_committed_yet_survives_a_rebalance(start, signups):
    """Quick messages share a commit, so most rebalances meet some that need it."""
    staying = start(STREAMING, *quick(STREAMING))
    signups.wait_for_members(1)
    producer = start(
        PRODUCER, "--partitions", 6, "--count", 10_000_000, *quick(PRODUCER)
    )
    newcomers = []
    for _ in range(4):
        staying.wait_for("finished processing", staying.count("finished") + 500)
        newcomers.append(start(STREAMING, *quick(STREAMING)))
        newcomers[-1].wait_for("finished processing")
        newcomers[-1].stop()
    producer.stop()
    signups.wait_until_done()
    staying.stop()
    assert_each_once(producer.published, staying, *newcomers)


@two_partitions
def test_a_rebalance_waits_for_the_work_in_hand(start, signups, worker_script):
    """The user in hand is finished and committed before a partition is given away."""
    for number in range(4):
        signups.publish(*users(number), partition=number % 2)
    busy = start(worker_script, *pace(worker_script, 1.5))
    busy.wait_for("sending email")
    newcomer = start(worker_script, *quick(worker_script))
    wait_until(lambda: not signups.members(), "a rebalance that is under way")
    assert busy.finished == [], "the rebalance came too late to meet work in hand"
    busy.wait_for("finished processing")
    signups.wait_for_members(2)
    signups.wait_until_done()
    busy.stop()
    newcomer.stop()
    assert_each_once(users(*range(4)), busy, newcomer)


@two_partitions
@pytest.mark.parametrize(
    "newcomer_leaves", [False, True], ids=["it stays", "it leaves again"]
)
def test_the_buffer_drops_messages_that_a_new_worker_took_over(
    start, signups, newcomer_leaves
):
    producer = start(PRODUCER, "--partitions", 2, "--count", 20, *quick(PRODUCER))
    assert producer.ended() == 0
    flags = ["--interval", 600, "--work-seconds", 0, "--max-batch-size", 21]
    buffering = start(BATCH, *flags)
    buffering.wait_for("received a message", times=20)
    newcomer = start(STREAMING, *quick(STREAMING))
    buffering.wait_for("rebalance: 20 messages")
    signups.wait_for_members(2)
    newcomer.wait_for("finished processing")
    in_order = [newcomer, buffering] if newcomer_leaves else [buffering, newcomer]
    for worker in in_order:
        worker.stop()
    last = start(STREAMING, *quick(STREAMING))
    signups.wait_for_members(1)
    signups.wait_until_done()
    last.stop()
    assert buffering.count("the buffer is full") == 0
    assert_each_once(users(*range(20)), newcomer, buffering, last)


@six_partitions
def test_a_worker_that_stops_during_a_rebalance_leaves_its_buffer_to_the_group(
    start, signups
):
    """It cannot commit then: users whom it emailed now would be emailed again."""
    buffering = start(BATCH, "--interval", 600)
    busy = start(STREAMING, "--work-seconds", 3)
    signups.wait_for_members(2)
    producer = start(PRODUCER, "--partitions", 6, "--count", 30, *quick(PRODUCER))
    assert producer.ended() == 0
    busy.wait_for("sending email")
    buffering.wait_for("received a message")
    newcomer = start(STREAMING, *quick(STREAMING))
    buffering.wait_for("left to the group")
    buffering.wait_for_error("because it is rebalancing")
    said = len(buffering.err)
    buffering.stop()
    assert buffering.begun == []
    assert buffering.err[said:] == [], "a graceful stop that looks like a failure"
    busy.stop()
    signups.wait_until_done()
    newcomer.stop()
    assert_each_once(users(*range(30)), busy, newcomer)


def test_a_second_worker_of_one_partition_says_that_it_waits(start, signups):
    """It takes over when the first one leaves."""
    pair = [start(STREAMING, *quick(STREAMING)) for _ in range(2)]
    signups.wait_for_members(2)

    def assigned(worker):
        lines = [line for line in worker.out if "partitions: " in line]
        return lines[-1] if lines else ""

    wait_until(
        lambda: sorted("none" in assigned(worker) for worker in pair) == [False, True],
        "one worker that reads and one that has nothing to read",
    )
    waiting, reading = sorted(pair, key=lambda worker: "none" not in assigned(worker))
    signups.publish(*users(0))
    reading.wait_for("finished processing")
    reading.stop()
    signups.publish(*users(1))
    waiting.wait_for("finished processing")
    assert "[0]" in assigned(waiting)
    waiting.stop()
    assert (reading.finished, waiting.finished) == (users(0), users(1))
    assert_each_once(users(0, 1), *pair)


@pytest.fixture
def distant(of_ours, bootstrap):
    """The topic and the group of this test, on a broker that is 0.1 seconds away."""
    signups = SignUps(Way(bootstrap, seconds=0.1).bootstrap)
    yield signups
    signups.close()


@pytest.mark.slow
def test_added_partitions_are_read_by_a_worker_that_runs(start, distant, worker_script):
    """With such a long way, kafka-python 2.3 would always forget to join the group."""
    first = start(worker_script, *quick(worker_script), signups=distant)
    distant.wait_for_members(1)
    distant.add_partitions(3)
    for partition in range(3):
        distant.publish(*users(partition), partition=partition)
    wait_until(lambda: distant.lag() == 0, "the new partitions' users", seconds=30)
    second = start(worker_script, *quick(worker_script), signups=distant)
    distant.wait_for_members(2)
    first.stop()
    second.stop()
    assert_each_once(users(0, 1, 2), first, second)
