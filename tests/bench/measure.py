"""What bench.py measures: how fast a client is, and what it costs while it waits."""

import pathlib
import random
import subprocess
import sys
import time

import psutil
from confluent_kafka import Producer
from script import environment
from signups import SignUps

HERE = pathlib.Path(__file__).parent
SCRIPTS = {
    "shared": "streaming_worker.py",
    "batch": "batch_worker.py",
    "producer": "producer.py",
}
FRAMEWORKS = ["faststream", "arroyo"]
LIMIT = 600  # seconds that one run may take


def report(line):
    """Say on the standard error what is being measured."""
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


class Run:
    """What one process did, in samples of (seconds, messages, CPU seconds, MB)."""

    def __init__(self, samples):
        self.count = samples[-1][1]
        start, _, cpu, _ = max(sample for sample in samples if not sample[1])
        end, _, all_cpu, _ = samples[-1]
        self.rate = self.count / (end - start)
        self.cpu_per_million = (all_cpu - cpu) / self.count * 1e6
        self.early = next(s[3] for s in samples if s[1] >= self.count / 10)
        self.peak = max(sample[3] for sample in samples)


class Bench:
    """A broker, the topic that everybody reads, and the programs that compete."""

    def __init__(self, bootstrap, checkouts, is_quick):
        self.bootstrap, self.checkouts, self.is_quick = bootstrap, checkouts, is_quick
        self.rounds, self.seconds = (2, 4) if is_quick else (5, 12)
        self.waiting, self.published = (
            (200_000, 50_000) if is_quick else (1_000_000, 200_000)
        )
        self.signups = SignUps(bootstrap)

    def fill(self):
        """Put the sign-ups that everybody reads into the topic."""
        report(f"publishing {self.waiting:,} messages")
        producer = Producer({"bootstrap.servers": self.bootstrap, "linger.ms": 20})
        for number in range(self.waiting):
            while len(producer) > 50_000:
                producer.poll(0.1)
            email = f"user{number}@gmail.com"
            producer.produce(self.signups.topic, email, email)
        assert producer.flush(LIMIT) == 0

    def start(
        self, client, job, signups, count, stdout=subprocess.DEVNULL, stderr=None
    ):
        """Start the program with which a client does a job."""
        if client in self.checkouts:
            python, folder = self.checkouts[client]
            flags = ["--group", signups.group, "--work-seconds", 0]
            if job == "producer":
                flags = ["--count", count, "--delay", 0]
            command = [python, folder / SCRIPTS[job], "--topic", signups.topic, *flags]
        else:
            program = "frameworks.py" if client in FRAMEWORKS else "peers.py"
            command = [sys.executable, HERE / program, client, job]
            command += [signups.topic, signups.group, count]
        return subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            env=environment(self.bootstrap),
            encoding="utf-8",
        )

    def new_group(self):
        """Return the sign-ups that everybody reads, with a group of their own."""
        signups = SignUps(self.bootstrap, partitions=0)
        signups.topic = self.signups.topic
        return signups

    def watch(self, client, job, seconds=LIMIT):
        """Let a client do a job to its end, or for `seconds`. Return its Run."""
        if job == "producer":
            signups, goal = SignUps(self.bootstrap), self.published
            look = lambda: signups.ends()[0]  # noqa: E731
        else:
            signups, goal = self.new_group(), self.waiting
            look = signups.committed
        process = self.start(client, job, signups, goal)
        usage, samples = psutil.Process(process.pid), [(0, 0, 0, 0)]
        began_at, moved_at = time.monotonic(), None
        try:
            while samples[-1][1] < goal:
                is_over = process.poll() is not None
                done, now = look(), time.monotonic() - began_at
                moved_at = moved_at or (now if done else None)
                if moved_at and now > moved_at + seconds:
                    break
                if (is_over and done < goal) or now > LIMIT:
                    sys.exit(f"error: {client}, {job}: {done} of {goal} in {now:.0f} s")
                samples.append((now, done, *measure(usage, samples[-1])))
                time.sleep(0.02)
        finally:
            process.kill()
            process.wait()
            signups.close()
        return Run(samples)

    def race(self, title, contestants):
        """Let each (client, job) take its turn, A B C A B C. Return their Runs."""
        runs = {contestant: [] for contestant in contestants}
        for number in range(self.rounds):
            for client, job in contestants:
                report(f"{title}, round {number + 1} of {self.rounds}: {client}, {job}")
                runs[client, job].append(self.watch(client, job, self.seconds))
        return runs

    def rest(self, client, job):
        """Return the CPU (%), the MB and the latencies (s) of a worker that waits.

        A latency is the time from publishing one message to the last line about it. For
        batches it is left out: there, --interval decides.
        """
        report(f"idle: {client}, {job}")
        signups, latencies = SignUps(self.bootstrap), []
        producer = Producer({"bootstrap.servers": self.bootstrap, "linger.ms": 0})
        process = self.start(client, job, signups, 0, stdout=subprocess.PIPE)
        try:
            signups.wait_for_members(1)
            time.sleep(1)
            usage = psutil.Process(process.pid)
            usage.cpu_percent()
            time.sleep(3 if self.is_quick else 10)
            idle = usage.cpu_percent(), usage.memory_info().rss / 1e6
            messages = 30 if self.is_quick else 200
            for number in range(messages if job == "shared" else 0):
                began_at = time.monotonic()
                producer.produce(signups.topic, f"user{number}@gmail.com")
                producer.poll(0)
                assert finished_at(process), f"{client} ended"
                latencies.append(time.monotonic() - began_at)
                time.sleep(random.uniform(0, 0.02))
        finally:
            process.kill()
            process.communicate()
            producer.flush(5)
            signups.close()
        return (*idle, latencies[1:])

    def stops(self, client, job):
        """Return how many seconds each of 20 idle workers takes to stop on SIGTERM."""
        signups, seconds = SignUps(self.bootstrap), []
        for number in range(20):
            report(f"stop {number + 1} of 20: {client}, {job}")
            process = self.start(client, job, signups, 0)
            try:
                signups.wait_for_members(1)
                time.sleep(random.uniform(0.5, 1))  # anywhere in a poll
                began_at = time.monotonic()
                process.terminate()
                assert process.wait(LIMIT) == 0
                seconds.append(time.monotonic() - began_at)
            finally:
                process.kill()
        signups.close()
        return seconds


def measure(usage, before):
    """Return CPU seconds and resident MB of a process, or what they were at its end."""
    try:
        return sum(usage.cpu_times()[:2]), usage.memory_info().rss / 1e6 or before[3]
    except psutil.NoSuchProcess:
        return before[2:]


def finished_at(process):
    """Wait until the process has handled one message. Return None if it ends first."""
    for line in process.stdout:
        if line.startswith("finished"):
            return time.monotonic()
