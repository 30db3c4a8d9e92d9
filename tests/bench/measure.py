"""What bench.py measures: how fast a client is, and what a worker costs that waits."""

import contextlib
import pathlib
import random
import subprocess
import sys
import time
from typing import NamedTuple

import psutil
from confluent_kafka import Producer
from people import users
from script import Script, environment
from signups import SignUps

PEERS = pathlib.Path(__file__).parent / "peers.py"
SCRIPTS = {
    "shared": "streaming_worker.py",
    "batch": "batch_worker.py",
    "producer": "producer.py",
}
LIMIT = 600  # seconds that one run may take


def report(line):
    """Say on the standard error what is being measured."""
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


class Run(NamedTuple):
    """What one process did: messages per second, CPU seconds, and MB."""

    rate: float
    cpu_per_million: float
    peak: float


class Bench:
    """A broker, the topic that everybody reads, and the programs that compete."""

    def __init__(self, bootstrap, checkouts, is_quick):
        self.bootstrap, self.checkouts = bootstrap, checkouts
        self.rounds, self.seconds, self.idle_seconds = 5, 12, 10
        self.waiting, self.published = 1_000_000, 200_000
        if is_quick:
            self.rounds, self.seconds, self.idle_seconds = 2, 4, 3
            self.waiting, self.published = 200_000, 50_000
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

    def start(self, client, job, signups, count):
        """Start the program with which a client does a job."""
        if client in self.checkouts:
            python, folder = self.checkouts[client]
            flags = ["--group", signups.group, "--work-seconds", 0]
            if job == "producer":
                flags = ["--count", count, "--delay", 0]
            command = [python, folder / SCRIPTS[job], "--topic", signups.topic, *flags]
        else:
            command = [sys.executable, PEERS, client, job]
            command += [signups.topic, signups.group, count]
        return subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env=environment(self.bootstrap),
        )

    def watch(self, client, job):
        """Let a client do a job to its end, or for some seconds. Return its Run."""
        is_producer = job == "producer"
        goal = self.published if is_producer else self.waiting
        signups = SignUps(self.bootstrap, partitions=1 if is_producer else 0)
        if not is_producer:
            signups.topic = self.signups.topic  # but its group is new
        process = self.start(client, job, signups, goal)
        usage, began_at = psutil.Process(process.pid), time.monotonic()
        done = now = cpu = peak = 0
        start = start_cpu = 0  # at the last look before the first message
        try:
            while done < goal and now <= start + self.seconds:
                time.sleep(0.02)
                is_over = process.poll() is not None
                done = signups.ends()[0] if is_producer else signups.committed()
                now = time.monotonic() - began_at
                with contextlib.suppress(psutil.NoSuchProcess):  # it has ended
                    cpu = sum(usage.cpu_times()[:2])
                    peak = max(peak, usage.memory_info().rss / 1e6)
                if not done:
                    start, start_cpu = now, cpu
                if (is_over and done < goal) or now > LIMIT:
                    sys.exit(f"error: {client}, {job}: {done} of {goal} in {now:.0f} s")
        finally:
            process.kill()
            process.wait()
            signups.close()
        return Run(done / (now - start), (cpu - start_cpu) / done * 1e6, peak)

    def race(self, title, contestants):
        """Let each (client, job) take its turn, A B C A B C. Return their Runs."""
        runs = {contestant: [] for contestant in contestants}
        for number in range(self.rounds):
            for client, job in contestants:
                report(f"{title}, round {number + 1} of {self.rounds}: {client}, {job}")
                runs[client, job].append(self.watch(client, job))
        return runs

    def waits(self, client, records):
        """Return how many seconds a second worker waits for its partition, each round.

        The first worker takes 0.05 s for each user. So many `records` are in its hands.
        """
        signups, seconds = SignUps(self.bootstrap, partitions=2), []
        for partition in range(2):
            signups.publish(*users(*range(4_000)), partition=partition)
        script = self.checkouts[client][1] / SCRIPTS["shared"]
        flags = ["--topic", signups.topic, "--work-seconds", 0.025, "--group"]
        for number in range(self.rounds):
            report(f"a second worker, round {number + 1} of {self.rounds}: {client}")
            place = [*flags, f"{signups.group}-{number}"]
            pair = [Script(script, *place, bootstrap=self.bootstrap)]
            try:
                pair[0].wait_for("sending email")
                time.sleep(random.uniform(0, records * 0.05))  # anywhere in its poll
                pair.append(Script(script, *place, bootstrap=self.bootstrap))
                pair[1].wait_for("partitions: [")
            finally:
                for worker in pair:
                    worker.kill()
            at = {line.split()[0]: moment for moment, line in pair[1].timeline}
            seconds.append(at["partitions:"] - at["waiting"])
        signups.close()
        return seconds

    def idle(self, client, job):
        """Return the CPU (%) and the MB of an idle worker, and the seconds of 20 stops.

        A stop lasts from SIGTERM to the end of the process.
        """
        signups, stops = SignUps(self.bootstrap), []
        for number in range(20):
            report(f"idle, worker {number + 1} of 20: {client}, {job}")
            process = self.start(client, job, signups, 0)
            try:
                signups.wait_for_members(1)
                time.sleep(random.uniform(1, 1.5))  # settled, and anywhere in a poll
                if number == 0:
                    usage = psutil.Process(process.pid)
                    cpu = usage.cpu_percent(self.idle_seconds)
                    memory = usage.memory_info().rss / 1e6
                began_at = time.monotonic()
                process.terminate()
                assert process.wait(LIMIT) == 0
                stops.append(time.monotonic() - began_at)
            finally:
                process.kill()
        signups.close()
        return cpu, memory, stops
