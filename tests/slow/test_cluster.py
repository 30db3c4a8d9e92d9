"""Three brokers, every partition on all of them. Brokers die, and none is missed."""

import time

import pytest
from cluster import Cluster
from confluent_kafka import TopicCollection
from people import tally, users
from script import BATCH, PRODUCER, STREAMING, quick, wait_until
from signups import SignUps


@pytest.fixture
def cluster(of_ours, tmp_path):
    cluster = Cluster(tmp_path)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.kill()


@pytest.fixture
def signups(cluster, request):
    signups = SignUps(cluster.address, getattr(request, "param", 3))
    yield signups
    signups.close()


@pytest.mark.timeout(400)  # four starts of a cluster
def test_each_broker_of_three_dies_in_turn(start, cluster, signups):
    """Leader of a partition or coordinator of the group: work goes on within 15 s."""
    workers = [
        start(STREAMING, "--work-seconds", 0.01),
        start(BATCH, "--work-seconds", 0.1, "--interval", 1),
    ]
    signups.wait_for_members(2)
    producer = start(PRODUCER, "--count", 1_000_000, "--delay", 0.05)
    for broker in cluster.brokers.values():
        producer.wait_for("Published", times=producer.count("Published") + 20)
        cluster.wait_until_in_sync(signups.topic)
        broker.kill()
        killed_at, sent = time.monotonic(), producer.count("Published")
        soon = {*users(*range(sent + 30))}
        wait_until(lambda: soon <= tally(*workers)[1], f"users up to {sent + 30}")  # noqa: B023
        print(f"work went on after {time.monotonic() - killed_at:.1f} s")
        assert time.monotonic() - killed_at < 15
        broker.start()
    producer.stop()
    signups.wait_until_done()
    for worker in workers:
        worker.stop()
    assert tally(*workers)[1] == {*producer.published} <= {*signups.log()}


@pytest.mark.parametrize("signups", [1], indirect=True, ids=["one partition"])
def test_a_leader_dies_with_what_it_has_not_acknowledged(start, cluster, signups):
    """Nobody is lost, and nobody is stored twice: its followers are frozen before.

    The producer has to wait for them, and then to send again what had no answer.
    """
    producer = start(PRODUCER, "--count", 10_000_000, *quick(PRODUCER))
    producer.wait_for("Published", times=5_000)
    cluster.wait_until_in_sync(signups.topic)
    [topic] = signups.ask("describe_topics", TopicCollection([signups.topic]))
    leader = cluster.brokers[topic.partitions[0].leader.id]
    followers = [broker for broker in cluster.brokers.values() if broker != leader]
    for broker in followers:
        broker.freeze()
    time.sleep(1)  # how far they fall behind, not a wait for a fact
    leader.kill()
    for broker in followers:
        broker.thaw()
    producer.wait_for("Published", times=producer.count("Published") + 2_000)
    producer.stop()
    log = signups.log()
    assert {*producer.published} <= {*log}
    assert len({*log}) == len(log), "a retry was stored twice"
