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


def timeline(email, scripts, started_at):
    """Return what was said of one user, in order: after how many seconds, and by whom."""
    return "\n".join(
        f"  {seconds - started_at:7.2f} s, {script.name} {script.process.pid} "
        f"(ended: {script.process.poll()}): {line.rstrip()}"
        for seconds, line, script in sorted(
            (
                (seconds, line, script)
                for script in scripts
                for seconds, line in script.timeline
                if f"'{email}'" in line or email in line.split()
            ),
            key=lambda said: said[0],
        )
    )


@pytest.mark.slow
@pytest.mark.timeout(0)  # the length is a flag
@pytest.mark.parametrize("signups", [6], indirect=True, ids=["six partitions"])
@pytest.mark.parametrize(
    "crashes", [False, True], ids=["graceful stops", "graceful stops, SIGKILL and SIGSTOP"]
)
def test_churn_loses_nobody(start, signups, request, crashes):
    seconds = request.config.option.churn_seconds
    seed = request.config.option.churn_seed or random.randrange(1_000_000)
    print(f"--churn-seed {seed}")
    choice = random.Random(seed)
    producer = start(PRODUCER, "--partitions", 6, "--count", 1_000_000, "--delay", 0.02)
    producer.wait_for("Published")
    started_at = time.monotonic()
    workers, running, frozen, thawed = [], [], {}, []
    with signups.never_set_back():
        while time.monotonic() < started_at + seconds:
            while len(running) < choice.randint(3, 5):
                script = choice.choice([STREAMING, BATCH])
                workers.append(start(script, *FLAGS[script]))
                running.append(workers[-1])
            time.sleep(choice.uniform(0, 2))  # chaos keeps no step with anything
            leaver = running.pop(choice.randrange(len(running)))
            leaver.wait_for("starting")
            fate = choice.random() if crashes else 1
            if fate < 0.25:
                leaver.kill()
            elif fate < 0.4:
                frozen[leaver.send(signal.SIGSTOP)] = time.monotonic() + choice.uniform(0, 15)
            else:
                # One that was frozen may be stopped before it can commit again: status 1.
                assert leaver.send(choice.choice(GRACEFUL)).ended() in (0, leaver in thawed)
            for worker in [worker for worker, until in frozen.items() if until < time.monotonic()]:
                del frozen[worker]
                thawed.append(worker.send(signal.SIGCONT))
                running.append(worker)
        for worker in frozen:
            thawed.append(worker.send(signal.SIGCONT))
        assert producer.send(signal.SIGTERM).ended() == 0
        while lag := signups.lag():
            wait_until(lambda: signups.lag() < lag, f"progress, with {lag} to go")
    for worker in [*running, *frozen]:
        assert worker.send(signal.SIGTERM).ended() in (0, worker in thawed)

    emailed, finished = tally(*workers)
    lost = {*producer.published} - finished
    twice = {email for email, times in emailed.items() if times > 1}
    print(f"{len(emailed)} users, {len(workers)} workers, {len(thawed)} thawed, {len(twice)} twice")
    wrong, scripts = lost if crashes else lost | twice, [producer, *workers]
    report = [f"{email}:\n{timeline(email, scripts, started_at)}" for email in sorted(wrong)]
    assert not wrong, "\n".join([f"--churn-seed {seed}", *report])
