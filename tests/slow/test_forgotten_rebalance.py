"""A rebalance that kafka-python 2.3 forgets: nobody may be touched until it is over.

It hands out messages of the old assignment then, which cannot be committed.
"""

import pytest
from people import assert_each_once, users
from script import STOPS, STREAMING, pace, quick, wait_until
from signups import SignUps
from way import Way

UNKNOWN_TOPIC, NO_PARTITIONS = b"\0\3", bytes(13)  # in MetadataResponse 8
two_partitions = pytest.mark.parametrize(
    "signups", [2], indirect=True, ids=["two partitions"]
)


@pytest.fixture
def pair(of_ours, start, signups, worker_script):
    """Start a quick worker, which leads the group, and one whose work takes longer.

    Return them, and the number of the partition that the second one reads.
    """

    def pair(seconds, **options):
        leader = start(worker_script, *pace(worker_script, 0.1), **options)
        signups.wait_for_members(1)
        busy = start(STREAMING, "--work-seconds", seconds / 2)
        signups.wait_for_members(2)
        busy.wait_for("partitions: [")
        return leader, busy, int("[1]" in busy.out[-1])

    return pair


def leave(signups, worker, members):
    """Stop a worker that may have ended by itself. Its last line has to say so."""

    def is_over():
        return worker.process.poll() is not None or len(signups.members()) == members

    wait_until(is_over, "the end of the rebalance, or of the worker")
    if worker.send(*STOPS[:1]).ended() != 0:
        worker.failed()


@two_partitions
def test_two_topics_in_one_group(start, signups, pair):
    """The leader learns of the other topic, has to join again, and forgets both.

    It is 0.1 seconds away: the busy worker has begun its work before that second join.
    """
    way = Way(signups.bootstrap, seconds=0.1).bootstrap
    leader, busy, number = pair(seconds=11, bootstrap=way)  # over metadata_max_age_ms
    signups.publish(*users(0, 1), partition=number)
    busy.wait_for("sending email")
    others = SignUps(signups.bootstrap)
    others.group = signups.group
    other = start(STREAMING, *quick(STREAMING), signups=others)
    busy.wait_for("sending email", times=2)
    signups.publish(*users(*range(2, 12)), partition=1 - number)
    others.publish(*users(0))
    busy.stop()
    leave(signups, leader, members=2)
    last = start(STREAMING, *quick(STREAMING))
    last.wait_for("partitions: ")
    for topic, worker in (signups, last), (others, other):
        topic.wait_until_done()
        worker.stop()
    others.close()
    assert_each_once(users(*range(12)), leader, busy, last)
    assert_each_once(users(0), other)


@two_partitions
def test_a_broker_that_does_not_know_the_topic_for_a_moment(start, signups, pair):
    """One answer of this kind, as a broker may give that has just started."""
    way, topic = Way(signups.bootstrap), signups.topic.encode()
    leader, busy, number = pair(seconds=6, bootstrap=way.bootstrap)

    def without_topic(answer):
        signups.publish(*users(0), partition=number)
        busy.wait_for("sending email")
        name = len(topic).to_bytes(2, "big") + topic
        before = answer.partition(name)[0][:-2]
        return before + UNKNOWN_TOPIC + name + NO_PARTITIONS

    way.changes.append(without_topic)
    wait_until(lambda: not signups.members(), "a rebalance that is under way")
    signups.publish(*users(*range(1, 9)), partition=1 - number)
    busy.stop()
    leave(signups, leader, members=1)
    last = start(STREAMING, *quick(STREAMING))
    last.wait_for("partitions: ")
    signups.wait_until_done()
    last.stop()
    assert_each_once(users(*range(9)), leader, busy, last)
