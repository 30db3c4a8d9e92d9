"""Partitions are added, and kafka-python 2.3 leaves an answer about offsets unread.

It would be taken for a new one when the worker gets the same partitions again.
"""

import pytest
from people import assert_each_once, users
from script import quick
from way import Way

OFFSET_FETCH = 9  # the broker's number for the question


@pytest.mark.parametrize("signups", [2], indirect=True, ids=["two partitions"])
def test_an_old_answer_about_offsets_does_not_count(
    of_ours, start, signups, worker_script
):
    way = Way(signups.bootstrap, slow=OFFSET_FETCH)
    worker = start(worker_script, *quick(worker_script), bootstrap=way.bootstrap)
    signups.wait_for_members(1)
    with signups.other_member("range"):
        worker.wait_for("partitions: [0]\n")
        signups.publish(*users(38), partition=0)
        worker.wait_for("finished processing")  # it has the metadata by then
        signups.add_partitions(4)
    worker.wait_for("partitions: [0, 1, 2, 3]")
    for partition in (0, 1):
        signups.publish(*users(*range(partition, 36, 2)), partition=partition)
    signups.wait_until_done()
    again = worker.count("partitions: [0, 1]\n") + 1
    with signups.other_member("range"):
        worker.wait_for("partitions: [0, 1]\n", times=again)
        for partition in (0, 1):
            signups.publish(*users(36 + partition), partition=partition)
        for user in users(36, 37):
            worker.wait_for(user, times=2)
        signups.wait_until_done()
        worker.stop()
    assert_each_once(users(*range(39)), worker)
