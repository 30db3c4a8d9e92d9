"""The producer says what the log holds. And what if its topic goes away?"""

import pytest
from people import users
from script import PRODUCER, STOPS, quick
from way import Way


@pytest.mark.parametrize("signups", [0], indirect=True, ids=["no topic yet"])
def test_it_creates_the_topic_and_publishes_ten_users(start, signups):
    producer = start(PRODUCER, "--partitions", 3)
    assert producer.ended() == 0
    assert len(signups.ends()) == 3
    assert sorted(producer.published) == sorted(signups.log()) == users(*range(10))
    assert producer.out[-1] == f"Published 10 of 10 messages to topic {signups.topic}\n"
    assert producer.count("already created") == 0 and producer.problems == []


@pytest.mark.parametrize("number", STOPS, ids=lambda number: number.name)
def test_after_a_signal_it_delivers_what_was_sent(start, signups, number):
    producer = start(PRODUCER, "--count", 200_000, *quick(PRODUCER))
    producer.wait_for("Published message", times=5)
    producer.stop(number, number)
    said = producer.published
    assert said == signups.log() == users(*range(len(said)))
    assert producer.out[-1].startswith(f"Published {len(said)} of 200000 messages")


def test_a_signal_ends_a_long_delay(start, signups):
    producer = start(PRODUCER, "--delay", 600)
    producer.wait_for("Published message")
    producer.stop(seconds=10)
    assert producer.published == signups.log() == users(0)


def test_a_broker_that_is_far_away_is_no_trouble(start, signups, of_ours):
    """If its first message came at once, kafka-python 2.3 would report an error."""
    way = Way(signups.bootstrap, seconds=0.1)
    producer = start(PRODUCER, bootstrap=way.bootstrap)
    assert producer.ended() == 0
    assert producer.out[1] == f"Topic {signups.topic} is already created\n"
    assert producer.err == [] and signups.log() == users(*range(10))


@pytest.mark.parametrize("signups", [0], indirect=True, ids=["no topic yet"])
def test_producers_that_start_at_once_use_one_topic(start, signups):
    """All find no topic. One of them creates it."""
    producers = [start(PRODUCER, "--count", 1) for _ in range(4)]
    for producer in producers:
        assert producer.ended() == 0, producer
    assert signups.log() == users(0, 0, 0, 0)


def test_published_is_said_once_the_broker_has_it(start, own_broker, own_signups):
    """A broker that hangs, and dies, has what was called published until then."""
    producer = start(PRODUCER, "--count", 9_999, "--delay", 0.02, signups=own_signups)
    producer.wait_for("Published message", times=20)
    own_broker.freeze()
    producer.wait_for_silence(2)
    producer.kill()
    own_broker.kill()
    own_broker.start()
    assert producer.published == own_signups.log()[: len(producer.published)]


on_a_strict_broker = pytest.mark.parametrize(
    ("own_broker", "own_signups"),
    [({"auto.create.topics.enable": "false"}, 0)],
    indirect=True,
    ids=["a broker that creates no topic"],
)


@pytest.mark.slow
@on_a_strict_broker
def test_a_topic_that_is_deleted_under_the_producer(start, own_signups):
    """It ends, and names whoever may not be in the log."""
    producer = start(PRODUCER, "--count", 1_000, "--delay", 0.05, signups=own_signups)
    producer.wait_for("Published message", times=2)
    own_signups.delete()
    producer.failed(seconds=90)
    everybody = [*producer.published, *producer.unacknowledged]
    assert sorted(everybody) == sorted(users(*range(len(everybody))))
    assert producer.unacknowledged


@pytest.mark.slow
@on_a_strict_broker
def test_a_topic_that_comes_and_goes_is_waited_for(start, own_signups, worker_script):
    worker = start(worker_script, *quick(worker_script), signups=own_signups)
    for number in range(2):
        worker.wait_for("partitions: none", times=number + 1)
        own_signups.create()
        own_signups.publish(*users(number))
        worker.wait_for("finished processing", times=number + 1)
        own_signups.wait_until_done()
        own_signups.delete()
    worker.stop()
    assert worker.finished == users(0, 1)
