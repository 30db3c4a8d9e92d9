"""Churn: workers come and go in one group while users keep signing up.

For longer, or once more with the same seed:
bash tests/run.sh tests/slow/test_churn.py --all --churn-seconds 600 --churn-seed 7
"""

import random
import signal
import time

import pytest
from people import tally
from script import BATCH, PRODUCER, STOPS, STREAMING, WORKERS, wait_until

FLAGS = {
    STREAMING: ["--work-seconds", 0.02],
    BATCH: ["--work-seconds", 0.2, "--interval", 1, "--max-batch-size", 20],
}


@pytest.mark.parametrize("signups", [6], indirect=True, ids=["six partitions"])
@pytest.mark.timeout(0)  # --churn-seconds is its length
@pytest.mark.parametrize("crash", [False, True], ids=["graceful", "SIGKILL, SIGSTOP"])
def test_chaos_loses_nobody(start, signups, request, crash):
    """Graceful stops alone, besides, email nobody twice."""
    seed = request.config.option.churn_seed or random.randrange(1_000_000)
    print(f"--churn-seed {seed}")
    flags = ["--partitions", 6, "--count", 1_000_000, "--delay", 0.02]
    producer = start(PRODUCER, *flags)
    producer.wait_for("Published")
    chaos = Chaos(start, random.Random(seed), crash)
    with signups.never_set_back():
        ends_at = time.monotonic() + request.config.option.churn_seconds
        while time.monotonic() < ends_at:
            chaos.step()
        chaos.thaw(everybody=True)
        producer.stop()
        while lag := signups.lag():
            wait_until(lambda: signups.lag() < lag, f"progress, with {lag} to go")
        for worker in chaos.running:
            chaos.stop(worker, STOPS[0])

    emailed, finished = tally(*chaos.workers)
    lost = {*producer.published} - finished
    twice = {email for email, times in emailed.items() if times > 1}
    print(f"{len(emailed)} users, {len(chaos.workers)} workers, {len(twice)} twice")
    wrong = lost if crash else lost | twice
    report = [timeline(email, [producer, *chaos.workers]) for email in sorted(wrong)]
    assert not wrong, "\n".join(report)


class Chaos:
    """Three to five workers of both kinds. Each step starts some and ends one."""

    def __init__(self, start, choice, crash):
        self.start, self.choice, self.crash = start, choice, crash
        self.workers, self.running, self.thawed = [], [], []
        self.frozen = {}  # worker: when it thaws

    def step(self):
        while len(self.running) < self.choice.randint(3, 5):
            script = self.choice.choice(WORKERS)
            self.workers.append(self.start(script, *FLAGS[script]))
            self.running.append(self.workers[-1])
        time.sleep(self.choice.uniform(0, 2))  # chaos keeps no step with anything
        leaver = self.running.pop(self.choice.randrange(len(self.running)))
        leaver.wait_for("starting")
        fate = self.choice.random() if self.crash else 1
        if fate < 0.25:
            leaver.kill()
        elif fate < 0.4:
            leaver.send(signal.SIGSTOP)
            self.frozen[leaver] = time.monotonic() + self.choice.uniform(0, 15)
        else:
            self.stop(leaver, self.choice.choice(STOPS))
        self.thaw()

    def stop(self, worker, number):
        """Stop a worker. One that was frozen may not be able to commit any more."""
        allowed = (0, 1) if worker in self.thawed else (0,)
        assert worker.send(number).ended(seconds=15) in allowed, worker

    def thaw(self, everybody=False):
        for worker, thaws_at in list(self.frozen.items()):
            if everybody or thaws_at < time.monotonic():
                del self.frozen[worker]
                self.thawed.append(worker.send(signal.SIGCONT))
                self.running.append(worker)


def timeline(email, scripts):
    """Return what was printed about a user, in order: when, by whom."""
    lines = sorted(
        f"{seconds:10.2f} s, {script.name} {script.process.pid}: {line.rstrip()}"
        for script in scripts
        for seconds, line in script.timeline
        if f"'{email}'" in line or email in line.split()
    )
    return "\n".join([email, *lines])
