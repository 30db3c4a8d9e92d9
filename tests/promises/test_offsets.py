"""A committed offset that the topic no longer has: the worker names what it skips.

Without a word the reader would wonder why users are missing, or emailed again.
"""

import re

import pytest
from people import users
from script import quick

PARTITIONS = 3
three_partitions = pytest.mark.parametrize(
    "signups", [PARTITIONS], indirect=True, ids=["three partitions"]
)


@pytest.fixture
def numbers(signups):
    """Publish ten users to each partition. Return {partition: their numbers}."""
    numbers = {n: range(10 * n, 10 * n + 10) for n in range(PARTITIONS)}
    for partition, those in numbers.items():
        signups.publish(*users(*those), partition=partition)
    return numbers


def assert_named(worker, signups, partition, *offsets):
    """Check that a line names the topic, the partition and each of the offsets."""
    place = re.escape(f"topic='{signups.topic}', partition={partition})")
    for offset in offsets:
        line = re.compile(rf"(?=.*{place}).* offset {offset}\b")
        assert any(map(line.match, worker.err)), f"no {line}:\n{worker}"


@three_partitions
def test_offsets_beyond_the_end_are_named(
    start, signups, complete, worker_script, numbers
):
    """The topic was truncated or created anew: everybody in it is handled again."""
    for partition in numbers:
        signups.commit(1_000 + partition, partition)
    worker = start(worker_script, *quick(worker_script))
    worker.wait_for_error("Resetting offset", times=PARTITIONS)
    signups.wait_until_done()
    worker.stop()
    for partition in numbers:
        assert_named(worker, signups, partition, 1_000 + partition, 0)
    assert sorted(worker.finished) == sorted(users(*range(30)))


@three_partitions
def test_offsets_whose_messages_were_deleted_are_named(
    signups, complete, worker_script, numbers
):
    """Retention was faster than the worker: it goes on with what is left."""
    for partition in numbers:
        signups.commit(3, partition)
        signups.delete_records(7 + partition, partition)
    worker = complete(worker_script)
    for partition in numbers:
        assert_named(worker, signups, partition, 3, 7 + partition)
    left = [n for p, those in numbers.items() for n in those[7 + p :]]
    assert sorted(worker.finished) == sorted(users(*left))


@three_partitions
def test_a_group_that_starts_anew_is_named(signups, complete, worker_script, numbers):
    """The broker has forgotten the group, so everybody is handled again."""
    complete(worker_script)
    signups.ask("delete_consumer_groups", [signups.group])
    worker = complete(worker_script)
    for partition in numbers:
        assert_named(worker, signups, partition, 0)
    assert sorted(worker.finished) == sorted(users(*range(30)))


def test_a_topic_that_is_made_anew_between_two_workers(
    signups, complete, worker_script
):
    """In the README's order: stop the workers, delete the topic, create it, start."""
    signups.publish(*users(*range(10)))
    complete(worker_script)
    signups.delete()
    signups.publish(*users(*range(10, 20)))  # which creates it
    assert complete(worker_script).finished == users(*range(10, 20))
