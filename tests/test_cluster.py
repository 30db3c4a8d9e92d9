"""Three brokers: partitions move from one to the next, and topics grow."""

import concurrent.futures
import signal
import time

import pytest
from broker import Broker
from kit import BATCH, PRODUCER, STREAMING, SignUps, assert_each_once, tally, users, wait_until

NODES = (1, 2, 3)
MISLED = """
import sys
from kafka import KafkaConsumer
from kafka.cluster import ClusterMetadata
init, update, answers = KafkaConsumer.__init__, ClusterMetadata.update_metadata, []
def attentive(self, *topics, **settings):
    quick = {"metadata_max_age_ms": 100, "max_partition_fetch_bytes": 1_000}
    init(self, *topics, **{**settings, **quick})
def misled(self, answer):
    answers.append(answer)
    for partition in [p for topic in answer.topics for p in topic.partitions]:
        if len(answers) % 2 == 0:
            partition.leader_id = 100 + len(answers)
            sys.stderr.write("misled\\n")  # print() cuts the worker's lines in two
    update(self, answer)
KafkaConsumer.__init__, ClusterMetadata.update_metadata = attentive, misled
__import__(sys.argv.pop(1)).main()
"""


class Cluster:
    """Three brokers, every partition on all of them, in directories below `data`."""

    def __init__(self, data):
        self.brokers = {node: Broker(data / str(node), **{"node.id": node}) for node in NODES}
        voters = ",".join(f"{node}@{broker.controller}" for node, broker in self.brokers.items())
        for broker in self.brokers.values():
            broker.cluster_id = self.brokers[1].cluster_id
            broker.properties.update(
                {
                    "controller.quorum.voters": voters,
                    "default.replication.factor": 3,
                    "offsets.topic.replication.factor": 3,
                    "min.insync.replicas": 2,
                }
            )
        self.address = ",".join(broker.address for broker in self.brokers.values())

    def start(self):
        """Start all of them at once: none is ready before most are."""
        with concurrent.futures.ThreadPoolExecutor() as pool:
            list(pool.map(Broker.start, self.brokers.values()))

    def kill(self):
        for broker in self.brokers.values():
            broker.kill()


@pytest.fixture
def cluster(of_ours, tmp_path):
    cluster = Cluster(tmp_path)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.kill()


@pytest.fixture
def replicated(cluster):
    """A topic of three partitions on all three brokers."""
    signups = SignUps(cluster.address, partitions=3)
    yield signups
    signups.close()


def is_in_sync(signups):
    """Tell whether every partition, of the group's offsets too, is on all three brokers."""
    topics = signups.ask("describe_topics", [signups.topic, "__consumer_offsets"])
    partitions = [partition for topic in topics for partition in topic["partitions"]]
    return all(len(partition["isr_nodes"]) == 3 for partition in partitions)


@pytest.mark.slow
def test_each_broker_of_three_dies_in_turn(start, cluster, replicated):
    """Whether it leads a partition or coordinates the group: work goes on within 15 s."""
    workers = [
        start(STREAMING, "--work-seconds", 0.01, signups=replicated),
        start(BATCH, "--work-seconds", 0.1, "--interval", 1, signups=replicated),
    ]
    replicated.wait_for_members(2)
    producer = start(PRODUCER, "--count", 1_000_000, "--delay", 0.05, signups=replicated)
    for broker in cluster.brokers.values():
        producer.wait_for("Published", times=producer.count("Published") + 20)
        wait_until(lambda: is_in_sync(replicated), "three replicas")
        broker.kill()
        killed_at, sent = time.monotonic(), producer.count("Published")
        soon = {*users(*range(sent + 30))}
        wait_until(lambda: soon <= tally(*workers)[1], f"users up to {sent + 30}")  # noqa: B023
        print(f"work went on after {time.monotonic() - killed_at:.1f} s")
        assert time.monotonic() - killed_at < 15
        broker.start()
    assert producer.send(signal.SIGTERM).ended() == 0
    wait_until(lambda: replicated.lag() == 0, "an empty topic")
    for worker in workers:
        assert worker.send(signal.SIGTERM).ended() == 0
    published = producer.published
    assert tally(*workers)[1] == {*published} <= {*replicated.log()}


@pytest.mark.slow
@pytest.mark.parametrize("script", [STREAMING, BATCH])
def test_partitions_that_are_added_are_read_within_30_seconds(start, signups, script):
    worker = start(script, "--interval" if script == BATCH else "--work-seconds", 0.2)
    signups.wait_for_members(1)
    signups.admin.create_partitions({signups.topic: 3})
    added_at = time.monotonic()
    assert start(PRODUCER, "--partitions", 3, "--count", 20, "--delay", 0).ended() == 0
    assert all(signups.ends().values()), "each partition has somebody"
    wait_until(lambda: signups.lag() == 0, "an empty topic", seconds=30)
    print(f"added partitions were read after {time.monotonic() - added_at:.1f} s")
    assert worker.send(signal.SIGTERM).ended() == 0
    assert {*worker.finished} == {*users(*range(20))}


@pytest.mark.parametrize(
    ("script", "flags"),
    [(STREAMING, []), (BATCH, ["--interval", 0.01, "--max-batch-size", 15])],
    ids=["streaming", "batch"],
)
def test_a_leader_that_is_none_of_the_brokers_is_asked_for_again(start, signups, script, flags):
    """Kafka answers so if it drops a broker meanwhile: still a leader, but no broker any more."""
    worker = start(script, "--work-seconds", 0.002, *flags, code=MISLED)
    producer = start(PRODUCER, "--count", 1_000, "--delay", 0.002)
    assert producer.ended() == 0
    wait_until(lambda: signups.lag() == 0, "an empty topic")
    assert "misled\n" in worker.err, "no answer was altered"
    assert worker.send(signal.SIGTERM).ended() == 0
    assert_each_once(producer.published, worker)
