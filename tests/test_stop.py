"""A graceful stop loses nobody and emails nobody twice."""

import time

import pytest
from kit import BATCH, FAREWELL, STOPS, STREAMING, assert_each_once, users, wait_until

TIRING = """
import os, signal, sys
worker = __import__(sys.argv.pop(1))
process_message = worker.process_message
def tire(email, work_seconds):
    number = int(email[4:-10])
    if number == int(os.environ["LAST"]):
        signal.raise_signal(signal.SIGINT)
    process_message(email, 0.1 if number >= 200 else 0)
worker.process_message = tire
worker.main()
"""
FLAKY = """
import sys
from kafka import KafkaConsumer
from kafka.errors import KafkaConnectionError
worker = __import__(sys.argv.pop(1))
commit, failures = KafkaConsumer.commit, [KafkaConnectionError("it moved")] * 3
def flaky(self, *offsets, **options):
    if worker.is_shutting_down and failures:
        raise failures.pop()
    commit(self, *offsets, **options)
KafkaConsumer.commit = flaky
worker.main()
"""
both_workers = pytest.mark.parametrize("script", [STREAMING, BATCH])


@both_workers
@pytest.mark.parametrize("number", STOPS, ids=lambda number: number.name)
def test_an_idle_worker_stops_within_a_second(start, signups, script, number):
    worker = start(script)
    signups.wait_for_members(1)
    sent_at = time.monotonic()
    assert worker.send(number).ended() == 0
    assert time.monotonic() - sent_at < 1
    assert worker.out[-1].strip() == FAREWELL
    assert worker.begun == [] and worker.err == []
    assert worker.count("processing message") == 0


def test_streaming_finishes_the_message_in_hand_and_begins_no_other(start, signups):
    signups.publish(*users(0, 1, 2))
    worker = start(STREAMING)
    worker.wait_for("sending email", times=2)
    worker.send(*[STOPS[0]] * 5)
    assert worker.ended() == 0
    assert worker.finished == worker.begun == users(0, 1)
    assert worker.count("shutting down: finishing") == 1
    assert signups.committed() == 2
    assert worker.out[-1].strip() == FAREWELL


@pytest.mark.parametrize("step", ["sending email to", "updating user"])
def test_streaming_stops_go_on_where_the_last_stopped(start, signups, step):
    signups.publish(*users(*range(7)))
    workers = []
    for number in (STOPS * 3)[:3]:
        workers.append(start(STREAMING, "--work-seconds", 0.2))
        workers[-1].wait_for(step, times=2)
        assert workers[-1].send(number, number).ended() == 0
    last = start(STREAMING, "--work-seconds", 0.1)
    last.wait_for("finished processing message")
    assert last.send(STOPS[-1]).ended() == 0
    assert [email for worker in [*workers, last] for email in worker.begun] == users(*range(7))
    assert signups.lag() == 0


@pytest.mark.parametrize("last", [150, 203], ids=["many at once", "one by one after many"])
def test_streaming_begins_no_other_of_those_that_it_polled(start, signups, last):
    """Messages that take no time are polled together; the first that takes long ends that."""
    signups.publish(*users(*range(300)))
    worker = start(STREAMING, code=TIRING, env={"LAST": str(last)})
    assert worker.ended() == 0
    assert worker.begun == worker.finished == users(*range(last + 1))
    assert signups.committed() == last + 1
    other = start(STREAMING, "--work-seconds", 0)
    wait_until(lambda: signups.lag() == 0, "an empty topic")
    assert other.send(STOPS[-1]).ended() == 0
    assert_each_once(users(*range(300)), worker, other)


@pytest.mark.parametrize("number", STOPS, ids=lambda number: number.name)
def test_batch_flushes_its_buffer(start, signups, number):
    signups.publish(*users(*range(10)))
    worker = start(BATCH, "--interval", 600)
    worker.wait_for("received a message", times=10)
    assert worker.send(number).ended() == 0
    assert worker.finished == worker.begun == users(*range(10))
    assert worker.count("shutting down") == 1
    assert signups.lag() == 0


@pytest.mark.parametrize("step", ["sending email to users", "updating status to"])
def test_batch_finishes_the_batch_in_hand_once(start, signups, step):
    signups.publish(*users(*range(20)))
    worker = start(BATCH, "--interval", 0.5)
    worker.wait_for(step)
    worker.send(*[STOPS[0]] * 6)
    assert worker.ended() == 0
    emailed = worker.begun
    assert worker.finished == emailed == users(*range(20))
    assert signups.lag() == 0
    assert worker.count("shutting down: finishing") == 1


@both_workers
def test_the_last_commit_is_tried_again(start, signups, script):
    """As when the group's coordinator moves, just then."""
    signups.publish(*users(0))
    worker = start(script, "--interval" if script == BATCH else "--work-seconds", 0.3, code=FLAKY)
    worker.wait_for("sending email")
    assert worker.send(STOPS[0]).ended() == 0
    assert worker.finished == users(0) and signups.committed() == 1
    assert len(worker.err) == 2 and "back again" in worker.err[1]


def test_batch_flushes_a_full_buffer_at_once_and_keeps_it_bounded(start, signups):
    signups.publish(*users(*range(20_000)))
    worker = start(BATCH, "--interval", 600, "--max-batch-size", 100, "--work-seconds", 0.2)
    worker.wait_for("finished processing messages", times=3)
    assert worker.send(STOPS[-1]).ended() == 0
    batches = [int(line.split()[1]) for line in worker.out if line.startswith("flushing")]
    assert batches[:3] == [100, 100, 100] and max(batches) == 100
    assert worker.count("received a message") == sum(batches) == signups.committed()
    assert_each_once(users(*range(sum(batches))), worker)


def test_batch_flushes_every_interval_and_prints_nothing_without_users(start, signups):
    worker = start(BATCH, "--interval", 0.2, "--work-seconds", 0)
    signups.wait_for_members(1)
    for number in range(3):
        signups.publish(*users(number))
        worker.wait_for("finished processing messages", times=number + 1)
    assert worker.send(STOPS[-1]).ended() == 0
    assert worker.count("processing message in queue buffer") == 3
    assert worker.count("every 0.2 s") == 3
    assert worker.finished == users(0, 1, 2)
