"""What a user can get wrong: addresses, variables, topics, groups. One clear line, nobody lost."""

import signal
import threading

import pytest
from kafka import KafkaConsumer
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.errors import TopicAlreadyExistsError
from kit import BATCH, PRODUCER, STREAMING, Script, SignUps, users, wait_until

BAD_ADDRESSES = {  # what the line must name beside the address
    "nohost.invalid": "DNS",
    "nohost.invalid:9092": "DNS",
    "localhost:": "port",
    "localhost:kafka": "port",
    "localhost:99999": "port",
}
FORGETFUL = """
import functools, sys
producer = __import__(sys.argv.pop(1))
# The client finds out once in five minutes that a topic is gone.
producer.KafkaProducer = functools.partial(producer.KafkaProducer, metadata_max_age_ms=1_000)
producer.main()
"""
VARIABLES = (
    "BOOTSTRAP_SERVERS SECURITY_PROTOCOL SASL_MECHANISM SASL_PLAIN_USERNAME SASL_PLAIN_PASSWORD "
    "SSL_CAFILE"
)
FORBIDDEN = {"a space": "no spaces", "too long": 250 * "a", "a dot": ".", "empty": ""}
every_script = pytest.mark.parametrize("script", [PRODUCER, STREAMING, BATCH])
both_workers = pytest.mark.parametrize("script", [STREAMING, BATCH])


class OtherAssignor(RangePartitionAssignor):
    """A way to share partitions that our workers do not know."""

    name = "other"


@pytest.mark.parametrize(("address", "cause"), BAD_ADDRESSES.items(), ids=BAD_ADDRESSES)
def test_an_address_that_leads_nowhere_is_named(address, cause):
    """All three scripts at once: each takes 5 seconds to give up."""
    for lost in [Script(script, bootstrap=address) for script in (PRODUCER, STREAMING, BATCH)]:
        assert lost.ended(15) == 1
        assert len(lost.err) == 1 and address in lost.err[0] and cause in lost.err[0], lost


@both_workers
def test_one_dead_broker_in_a_list_does_not_matter(start, signups, nowhere, script):
    addresses = f"{nowhere}, {signups.bootstrap}"
    assert start(PRODUCER, "--count", 3, bootstrap=addresses).ended() == 0
    worker = start(script, "--work-seconds", 0, bootstrap=addresses)
    wait_until(lambda: signups.lag() == 0, "an empty topic")
    assert worker.send(signal.SIGTERM).ended() == 0
    assert worker.finished == users(0, 1, 2) and worker.err == []


@every_script
@pytest.mark.parametrize("variable", VARIABLES.split())
def test_an_empty_variable_is_named(bootstrap, script, variable):
    refused = Script(script, bootstrap=bootstrap, env={f"KAFKA_{variable}": ""})
    assert refused.ended() == 1
    assert len(refused.err) == 1 and f"KAFKA_{variable} " in refused.err[0]


@every_script
@pytest.mark.parametrize("topic", FORBIDDEN.values(), ids=FORBIDDEN)
def test_a_topic_name_that_kafka_forbids_is_named(bootstrap, script, topic):
    refused = Script(script, "--topic", topic, bootstrap=bootstrap)
    assert refused.ended() == 1
    assert len(refused.err) == 1 and topic in refused.err[0]
    assert "topic" in refused.err[0].lower() and "connect" not in refused.err[0]


@both_workers
def test_an_empty_group_is_named(bootstrap, script):
    refused = Script(script, "--group", "", bootstrap=bootstrap)
    assert refused.ended() == 2
    assert "--group" in refused.err[-1] and refused.out == []


@both_workers
@pytest.mark.parametrize("signups", [0], indirect=True, ids=["no topic yet"])
def test_a_codec_that_is_not_installed_is_named(start, signups, of_ours, script):
    """The broker compresses what it stores; of the codecs, Python brings gzip alone."""
    config = {"num_partitions": 1, "configs": {"compression.type": "lz4"}}
    signups.admin.create_topics({signups.topic: config})
    signups.publish(*users(0))
    refused = start(script, "--work-seconds", 0)
    assert refused.ended(15) == 1
    assert len(refused.err) == 1 and "lz4" in refused.err[0] and signups.topic in refused.err[0]
    assert refused.begun == [] and signups.committed() == 0


@pytest.fixture
def other_consumer(signups):
    """A member of the group that shares partitions in a way of its own."""
    consumer = KafkaConsumer(
        signups.topic,
        bootstrap_servers=signups.bootstrap,
        group_id=signups.group,
        enable_auto_commit=False,
        partition_assignment_strategy=[OtherAssignor],
    )
    is_over = threading.Event()

    def poll():
        while not is_over.is_set():
            consumer.poll(timeout_ms=100)
        consumer.close(timeout_ms=2_000)

    thread = threading.Thread(target=poll)
    thread.start()
    signups.wait_for_members(1)
    yield consumer
    is_over.set()
    thread.join()


@both_workers
def test_a_group_of_another_kind_of_consumers_is_named(start, signups, other_consumer, script):
    signups.publish(*users(0))
    refused = start(script)
    assert refused.ended(15) == 1
    assert len(refused.err) == 1 and "not compatible with the current group" in refused.err[0]
    assert signups.group in refused.err[0]
    assert refused.begun == [] and signups.committed() == 0 and len(signups.members()) == 1


def recreate(signups):
    """Create the topic, as soon as nothing is left of its predecessor."""

    def created():
        try:
            return signups.admin.create_topics({signups.topic: {"num_partitions": 1}})
        except TopicAlreadyExistsError:
            return False

    wait_until(created, "a topic that is gone")


@pytest.fixture
def strict(own_broker):
    """What is needed of a topic on a broker that creates none by itself."""
    signups = SignUps(own_broker.address, partitions=0)
    yield signups
    signups.close()


# A broker that creates no topic by itself.
on_a_strict_broker = pytest.mark.parametrize(
    "own_broker", [{"auto.create.topics.enable": "false"}], indirect=True, ids=[""]
)


@pytest.mark.slow
@on_a_strict_broker
@both_workers
def test_a_topic_that_comes_and_goes_is_waited_for(start, strict, script):
    """Each time, the worker says so once, and then handles whoever signs up."""
    flags = ["--interval", 0.2] if script == BATCH else []
    worker = start(script, "--work-seconds", 0, *flags, signups=strict)
    said = []
    for number in range(2):
        said.append("no such topic")
        wait_until(lambda: len(worker.err) == len(said), "a warning")
        recreate(strict)
        strict.publish(*users(number))
        wait_until(lambda: strict.lag() == 0, "an empty topic")
        said.append("back again")
        wait_until(lambda: len(worker.err) == len(said), "the end of it")
        strict.admin.delete_topics([strict.topic])
    assert worker.send(signal.SIGTERM).ended() == 0
    assert worker.finished == users(0, 1)
    assert [words for words, line in zip(said, worker.err) if words not in line] == []


@pytest.mark.slow
@on_a_strict_broker
@pytest.mark.parametrize(
    ("delay", "code"), [(0.05, None), (3, FORGETFUL)], ids=["messages on the way", "none"]
)
def test_a_topic_deleted_under_the_producer(start, strict, delay, code):
    """It ends, and names whoever is not in the log of the topic's successor."""
    producer = start(PRODUCER, "--count", 1_000, "--delay", delay, signups=strict, code=code)
    producer.wait_for("Published message", times=2)
    strict.admin.delete_topics([strict.topic])
    if not code:
        producer.wait_for("waiting up to 10 s")
        recreate(strict)
    assert producer.ended() == 1
    published, named = producer.published, producer.undelivered
    assert sorted(published + named) == sorted(users(*range(len(published + named))))
    assert f"error: {len(named)} of {len(published + named)} messages were not" in producer.err[-1]
    if not code:
        log = strict.log()
        assert log and log == published[-len(log) :]
