"""tests/lag.py, which tells a reader how far a group has come."""

import pytest
from confluent_kafka import Producer
from people import users
from script import LIMIT, STREAMING, quick
from variables import NAMES


@pytest.fixture
def lag(start):
    """Run tests/lag.py for the topic and the group of this test."""

    def lag(*flags, **options):
        script = start("tests/lag.py", *flags, **options)
        script.ended()
        return script

    return lag


def rows(script):
    """Return what stands below the header, as words."""
    return [line.split() for line in script.out[1:]]


def test_it_shows_committed_offset_end_and_lag(signups, complete, lag):
    """A group whose next message is gone, or not there yet, begins at the first one."""
    signups.publish(*users(*range(4)))
    complete(STREAMING)
    signups.publish(*users(*range(4, 10)))
    signups.add_partitions(4)
    for partition in (1, 2, 3):
        signups.publish(*users(10, 11, 12), partition=partition)
        signups.delete_records(1, partition)
    signups.commit(0, partition=2)
    signups.commit(9, partition=3)
    assert lag(env=dict.fromkeys(NAMES, "")).out == [
        "partition  committed  end     lag\n",
        "0          4          10      6\n",
        "1          -          3       2\n",
        "2          0          3       2\n",
        "3          9          3       2\n",
    ]


def test_a_lag_that_stays_is_a_transaction(start, signups, lag):
    """Nobody reads beyond an open one. Its end takes an offset, but is no message."""
    other = Producer({**signups.cluster, "transactional.id": signups.topic})
    other.init_transactions(LIMIT)
    other.begin_transaction()
    other.produce(signups.topic, *users(0))
    other.flush(LIMIT)
    signups.publish(*users(1))
    worker = start(STREAMING, *quick(STREAMING))
    signups.wait_for_members(1)
    assert rows(lag()) == [["0", "-", "2", "2"]] and worker.begun == []
    other.abort_transaction(LIMIT)
    worker.wait_for("finished processing")
    worker.stop()
    assert rows(lag()) == [["0", "2", "3", "1"]] and worker.begun == users(1)
    assert worker.problems == [], "lag.py joined the group"


def test_it_uses_the_credentials_of_the_scripts(signups, secured, mutual, lag):
    signups.publish(*users(0))
    for environment in (secured, mutual):
        assert rows(lag(env=environment)) == [["0", "-", "1", "1"]]
    wrong = lag(env={**secured, "KAFKA_SASL_PLAIN_PASSWORD": "wrong"})
    wrong.failed(secured["KAFKA_BOOTSTRAP_SERVERS"], "KafkaTimeoutError")
    assert "Authentication failed" in "".join(wrong.err) and wrong.repeated == []


def test_what_is_wrong_is_said_in_the_last_line(signups, nowhere, lag):
    mistyped = lag("--topic", "mistyped")
    mistyped.failed("mistyped", "no such topic")
    assert len(mistyped.err) == 1
    assert "mistyped" not in signups.topics(), "asking created it"
    unreachable = lag(bootstrap=nowhere)
    unreachable.failed(nowhere, "NoBrokersAvailable")
    assert unreachable.repeated == []
    protocol = {"KAFKA_SECURITY_PROTOCOL": "TELEPATHY"}
    lag(bootstrap="", env=protocol).failed("localhost:9092", "security_protocol")
