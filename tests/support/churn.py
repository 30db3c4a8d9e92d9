"""Churn: workers that are replaced one after the other while users sign up."""

import itertools

from script import BATCH, PRODUCER, STOPS, STREAMING, assert_each_once

USERS, REPLACEMENTS = 600, 8
FLAGS = {
    STREAMING: ["--work-seconds", 0.01],
    BATCH: ["--work-seconds", 0.4, "--interval", 0.7],
}


def replace_all(start, signups, script):
    """Replace three workers eight times, gracefully, while 600 users sign up.

    Check that each worker ends with status 0 within 15 seconds, and that each user
    is emailed exactly once.
    """
    running = [start(script, *FLAGS[script]) for _ in range(3)]
    signups.wait_for_members(3)
    flags = ["--partitions", len(signups.ends()), "--count", USERS, "--delay", 0.02]
    producer = start(PRODUCER, *flags)
    workers = list(running)
    for _, number in zip(range(REPLACEMENTS), itertools.cycle(STOPS)):
        running[0].wait_for("finished processing")
        assert running.pop(0).send(number).ended(seconds=15) == 0
        workers.append(start(script, *FLAGS[script]))
        running.append(workers[-1])
    assert producer.ended() == 0
    signups.wait_until_done()
    for worker in running:
        assert worker.send(STOPS[0]).ended(seconds=15) == 0
    assert producer.published and not producer.unacknowledged
    assert_each_once(producer.published, *workers)
