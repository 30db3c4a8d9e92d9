"""Chaos, by a seed: workers of both kinds come and go in one group while users keep signing up.

Longer, or again: bash tests/run.sh tests/test_churn.py --all --churn-seconds 600 --churn-seed 7
"""

import random
import signal
import time

import pytest
from kit import BATCH, PRODUCER, STREAMING, tally, wait_until

GRACEFUL = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
FLAGS = {
    STREAMING: ["--work-seconds", 0.02],
    BATCH: ["--work-seconds", 0.2, "--interval", 1, "--max-batch-size", 20],
}


def timeline(email, workers):
    """Return what each worker said of one user, and how the worker ended."""
    return "\n".join(
        f"  {worker.name} {worker.process.pid} (ended: {worker.process.poll()}): {line.rstrip()}"
        for worker in workers
        for line in [*worker.out, *worker.err]
        if f"'{email}'" in line or email in line.split()
    )


@pytest.mark.slow
@pytest.mark.timeout(0)  # the length is a flag
@pytest.mark.parametrize("signups", [6], indirect=True, ids=["six partitions"])
@pytest.mark.parametrize(
    "kills", [False, True], ids=["graceful stops", "graceful stops and SIGKILL"]
)
def test_churn_loses_nobody(start, signups, request, kills):
    seconds = request.config.option.churn_seconds
    seed = request.config.option.churn_seed or random.randrange(1_000_000)
    print(f"--churn-seed {seed}")
    choice = random.Random(seed)
    producer = start(PRODUCER, "--partitions", 6, "--count", 1_000_000, "--delay", 0.02)
    workers, running, ended = [], [], time.monotonic() + seconds
    while time.monotonic() < ended:
        while len(running) < choice.randint(3, 5):
            script = choice.choice([STREAMING, BATCH])
            workers.append(start(script, *FLAGS[script]))
            running.append(workers[-1])
        time.sleep(choice.uniform(0, 2))  # chaos keeps no step with anything
        leaver = running.pop(choice.randrange(len(running)))
        leaver.wait_for("starting")
        if kills and choice.random() < 0.3:
            leaver.kill()
        else:
            assert leaver.send(choice.choice(GRACEFUL)).ended() == 0
    assert producer.send(signal.SIGTERM).ended() == 0
    wait_until(lambda: signups.lag() == 0, "an empty topic")
    for worker in running:
        assert worker.send(signal.SIGTERM).ended() == 0

    emailed, finished = tally(*workers)
    lost = {*producer.emails("Published")} - finished
    twice = {email for email, times in emailed.items() if times > 1}
    print(f"{len(emailed)} users, {len(workers)} workers, {len(twice)} users twice")
    wrong = lost if kills else lost | twice
    assert not wrong, "\n".join(f"{email}:\n{timeline(email, workers)}" for email in sorted(wrong))
