"""The producer: what it says equals what the log holds."""

import signal

import pytest
from kit import PRODUCER, users

TWICE = """
import sys
from kafka.admin import KafkaAdminClient
create = KafkaAdminClient.create_topics
def twice(*arguments, **options):
    create(*arguments, **options)
    return create(*arguments, **options)
KafkaAdminClient.create_topics = twice
producer = __import__(sys.argv[1])
admin = KafkaAdminClient(**producer.cluster())
for number in range(20):
    producer.create_topic(admin, f"{sys.argv[3]}-{number}", 30)
"""


@pytest.mark.parametrize("signups", [0], indirect=True, ids=["no topic yet"])
def test_it_creates_the_topic_and_publishes_ten_users(start, signups):
    producer = start(PRODUCER, "--partitions", 3)
    assert producer.ended() == 0
    assert len(signups.ends()) == 3
    assert sorted(producer.published) == sorted(signups.log()) == users(*range(10))
    assert producer.out[-1].strip() == f"Published 10 of 10 messages to topic {signups.topic}"
    assert producer.count("already created") == 0 and producer.err == []


def test_what_it_says_at_full_speed_is_in_the_log(start, signups):
    producer = start(PRODUCER, "--count", 5_000, "--delay", 0)
    assert producer.ended() == 0
    assert producer.published == signups.log() == users(*range(5_000))


@pytest.mark.parametrize("delay", [0, 0.05], ids=["full speed", "a message every 50 ms"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_after_a_signal_it_delivers_what_was_sent(start, signups, number, delay):
    producer = start(PRODUCER, "--count", 200_000, "--delay", delay)
    producer.wait_for("Published message", times=5)
    assert producer.send(number, number).ended() == 0
    said = producer.published
    assert said == signups.log() == users(*range(len(said)))
    assert producer.out[-1].startswith(f"Published {len(said)} of 200000 messages")


def test_a_topic_that_is_there_already_is_named_and_used(start, signups):
    producer = start(PRODUCER, "--count", 2)
    assert producer.ended() == 0
    assert producer.count(f"Topic {signups.topic} is already created\n") == 1
    assert signups.log() == users(0, 1) and producer.err == []


@pytest.mark.parametrize("signups", [2], indirect=True, ids=["two partitions"])
def test_another_number_of_partitions_is_named(start, signups):
    producer = start(PRODUCER, "--count", 2, "--partitions", 3)
    assert producer.ended() == 0
    assert len(producer.err) == 1
    assert "2 partitions" in producer.err[0] and "3" in producer.err[0]


def test_a_topic_that_was_created_a_moment_ago_is_taken_as_it_is(start, signups):
    """It exists, but for a moment the broker describes it as one without partitions."""
    producer = start(PRODUCER, code=TWICE)
    assert producer.ended() == 0
    assert producer.count("is already created") == 20
