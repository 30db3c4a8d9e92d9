"""The broker goes away. Each test has a broker of its own, and kills it."""

import re
import signal
import time

import pytest
from kit import BATCH, PRODUCER, STREAMING, SignUps, users, wait_until

OUTAGE = 12  # seconds: the outage itself, not a wait for anything; backoff grows meanwhile
both_workers = pytest.mark.parametrize(
    ("script", "flags"),
    [(STREAMING, []), (BATCH, ["--interval", 0.2])],
    ids=["streaming", "batch"],
)


@pytest.fixture
def signups(own_broker):
    signups = SignUps(own_broker.address)
    yield signups
    signups.close()


@both_workers
def test_a_stop_that_cannot_commit_says_what_will_be_repeated(
    start, signups, own_broker, script, flags
):
    signups.publish(*users(0))
    worker = start(script, *flags)
    worker.wait_for("updating")
    own_broker.kill()
    stopped_at = time.monotonic()
    assert worker.send(signal.SIGTERM).ended() == 1
    assert time.monotonic() - stopped_at < 15
    assert worker.finished == users(0)
    assert f"{signups.topic} partition 0 offset 0" in worker.err[-1]
    assert "handled again" in worker.err[-1]

    own_broker.start()
    again = start(script, *flags, "--work-seconds", 0)
    wait_until(lambda: signups.lag() == 0, "an empty topic")
    assert again.send(signal.SIGTERM).ended() == 0
    assert again.finished == users(0)


@both_workers
def test_an_idle_worker_stops_without_a_broker(start, signups, own_broker, script, flags):
    worker = start(script, *flags)
    signups.wait_for_members(1)
    own_broker.kill()
    stopped_at = time.monotonic()
    assert worker.send(signal.SIGTERM).ended() == 0
    assert time.monotonic() - stopped_at < 15
    assert [line for line in worker.err if "lost the broker" not in line] == []


@both_workers
def test_a_commit_that_failed_is_made_up_for(start, signups, own_broker, script, flags):
    """Even when no further message comes. Until then nobody else is begun, and little is said."""
    one_by_one = ["--max-batch-size", 1] if script == BATCH else []
    signups.publish(*users(0, 1))
    worker = start(script, *flags, *one_by_one)
    worker.wait_for("updating")
    own_broker.kill()
    wait_until(lambda: len(worker.err) == 2, "two warnings")
    assert worker.begun == worker.finished == users(0)
    own_broker.start()
    wait_until(lambda: signups.lag() == 0, "both users")
    assert worker.send(signal.SIGTERM).ended() == 0
    assert worker.finished == worker.begun == users(0, 1)
    said = ["not committed yet", "lost the broker", "back again"]
    assert [words in line for words, line in zip(said, worker.err)] == [True] * len(worker.err)
    assert len(worker.err) == 3


def test_the_producer_delivers_everything_across_an_outage(start, signups, own_broker):
    producer = start(PRODUCER, "--count", 100, "--delay", 0.1)
    producer.wait_for("Published message", times=20)
    own_broker.kill()
    time.sleep(OUTAGE)
    own_broker.start()
    back_at = time.monotonic()
    assert producer.ended() == 0
    assert time.monotonic() - back_at < 12
    assert sorted(value.decode() for value in signups.log()) == sorted(users(*range(100)))
    assert producer.count("Published message") == 100


def test_without_a_broker_the_producer_names_what_was_not_delivered(start, signups, own_broker):
    producer = start(PRODUCER, "--count", 100_000, "--delay", 0.01)
    producer.wait_for("Published message", times=20)
    own_broker.kill()
    said = producer.count("Published message")
    producer.send(signal.SIGINT, signal.SIGINT)
    assert producer.ended(seconds=75) == 1
    own_broker.start()
    published = producer.emails("Published message")
    named = [line.split()[3].rstrip(":") for line in producer.err if "not delivered: " in line]
    assert published + named == users(*range(len(published) + len(named)))
    assert set(published) <= {value.decode() for value in signups.log()}
    assert said <= len(published) and re.search(r"\d+ of \d+ messages were not", producer.err[-1])


@both_workers
def test_a_worker_finds_a_broker_that_comes_back(start, signups, own_broker, script, flags):
    worker = start(script, *flags, "--work-seconds", 0)
    signups.wait_for_members(1)
    own_broker.kill()
    time.sleep(OUTAGE)
    own_broker.start()
    back_at = time.monotonic()
    signups.publish(*users(0))
    worker.wait_for("finished processing")
    assert time.monotonic() - back_at < 12
    assert worker.send(signal.SIGTERM).ended() == 0
    assert worker.finished == users(0)
    assert len(worker.err) == 2 and "lost the broker" in worker.err[0]
    assert "back again" in worker.err[1]
