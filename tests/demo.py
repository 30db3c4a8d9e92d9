"""The article, played unattended on a real broker: `bash tests/demo.sh`, about 15 seconds.

A producer signs 10 users up. The streaming worker is stopped in the middle of one of them, the
batch worker of the same group takes over and is stopped with users in its buffer. Then the demo
counts: every user emailed, none twice, nothing left in the group. Exit status 0 if so, else 1.

It starts a Kafka of its own, or uses KAFKA_BOOTSTRAP_SERVERS and removes its topic at the end.
"""

import contextlib
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter

import psutil
from kafka import KafkaConsumer, TopicPartition
from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError

from broker import Broker, BrokerError

ROOT = pathlib.Path(__file__).resolve().parent.parent
SETTINGS = "bootstrap_servers security_protocol sasl_mechanism sasl_plain_username"
SETTINGS = f"{SETTINGS} sasl_plain_password ssl_cafile".split()
USERS = [f"user{number}@gmail.com" for number in range(10)]
LIMIT = 30  # seconds for any one fact to come true: several times what a slow machine needs
COLOURS = {"producer": 33, "streaming_worker": 36, "batch_worker": 35, "demo": 32}

news = threading.Condition()  # notified of every line and every end; its lock is for printing too


class Failure(Exception):
    """The story cannot go on; the message says why, in one line."""


def say(name, line):
    """Show a line with the name of who says it. Output that is gone (head) is no reason to stop."""
    label = f"{name:<16}  |"
    with news:
        try:
            if sys.stdout.isatty():
                label = f"\033[{COLOURS[name]}m{label}\033[0m"
            print(label, line, flush=True)
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Script:
    """One of the three scripts, started with `flags`. Its lines are shown and kept in `lines`."""

    def __init__(self, name, *flags):
        self.name, self.lines, self.status = name, [], None
        self.process = subprocess.Popen(
            [sys.executable, f"{name}.py", *flags],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            start_new_session=True,  # our terminal's Ctrl+C is for the demo only
        )
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        """Show and keep what the script prints, until it ends."""
        for line in self.process.stdout:
            say(self.name, line.rstrip("\n"))
            with news:
                self.lines.append(line)
                news.notify()
        with news:
            self.status = self.process.wait()
            news.notify()

    def count(self, text):
        """Return how many lines of the script began with `text` so far."""
        return sum(line.startswith(text) for line in self.lines)

    def wait_for(self, text, count=1):
        """Return once `count` lines begin with `text`."""
        with news:
            news.wait_for(lambda: self.count(text) >= count or self.status is not None, LIMIT)
            if self.count(text) < count:
                raise Failure(f"{self.name} printed {self.count(text)} x {text!r}, not {count} x")

    def wait(self):
        """Return once the script has ended."""
        with news:
            if not news.wait_for(lambda: self.status is not None, LIMIT):
                raise Failure(f"{self.name} did not end within {LIMIT} s")


def cluster():
    """Return where the cluster is, and how to log in, as settings for a Kafka client."""
    found = {name: os.environ.get(f"KAFKA_{name.upper()}") for name in SETTINGS}
    return {name: value for name, value in found.items() if value}


def ask_broker(topic, group):
    """Return what `topic` holds, as a list of emails, and how many of them `group` has yet to do.

    Read without joining the group, from the offsets it has committed.
    """
    with contextlib.closing(KafkaAdminClient(**cluster())) as admin:
        committed = admin.list_group_offsets(group)[group]
    consumer = KafkaConsumer(auto_offset_reset="earliest", **cluster())
    with contextlib.closing(consumer):
        partitions = [TopicPartition(topic, p) for p in consumer.partitions_for_topic(topic)]
        ends = consumer.end_offsets(partitions)
        consumer.assign(partitions)
        held, deadline = [], time.monotonic() + LIMIT
        while any(consumer.position(partition) < ends[partition] for partition in partitions):
            if time.monotonic() > deadline:
                raise Failure(f"could not read {topic} to its end within {LIMIT} s")
            for records in consumer.poll(timeout_ms=500).values():
                held += [record.value.decode() for record in records]
    done = sum(committed[p].offset for p in partitions if p in committed)
    return held, sum(ends.values()) - done


def play(topic, group):
    """Play the story; return the verdict, and whether it is the one that was promised."""
    producer = Script("producer", "--topic", topic, "--count", str(len(USERS)))
    producer.wait_for("Published message")
    streaming = Script("streaming_worker", "--topic", topic, "--group", group)
    producer.wait()
    streaming.wait_for(f"sending email to {USERS[3]}")
    say("demo", "pressing Ctrl+C five times in the middle of user3")
    for _ in range(5):
        streaming.process.send_signal(signal.SIGINT)
        time.sleep(0.1)  # a finger's pace: signals that come at once are merged into one
    streaming.wait()

    _, lag = ask_broker(topic, group)
    say("demo", f"the batch worker takes over: {lag} users are left, says the broker")
    batch = Script("batch_worker", "--topic", topic, "--group", group)
    batch.wait_for("received a message", lag)
    say("demo", f"SIGTERM, with {'no' if batch.count('sending') else lag} users in its buffer")
    batch.process.send_signal(signal.SIGTERM)
    batch.wait()

    lines = [line for line in streaming.lines + batch.lines if line.startswith("sending email to")]
    emailed = Counter(re.findall(r"[^\s'\[\]]+@gmail\.com", "".join(lines)))
    held, lag = ask_broker(topic, group)
    return verdict(emailed, held, lag, {s.name: s.status for s in (producer, streaming, batch)})


def verdict(emailed, held, lag, statuses):
    """Return the one line that tells how it went, and whether all of it is as promised."""
    missing = [user for user in USERS if user not in emailed]
    twice = [user for user, times in emailed.items() if times > 1]
    line = f"{len(USERS) - len(missing)} of {len(USERS)} users emailed"
    line += f" (missing: {', '.join(missing)})" if missing else ""
    line += f", {len(twice)} twice ({', '.join(twice)})" if twice else ", none twice"
    line += f", lag {lag}"
    line += f", the topic holds {len(held)} messages" if sorted(held) != USERS else ""
    failed = {name: status for name, status in statuses.items() if status != 0}
    line += "".join(f", {name} ended with status {status}" for name, status in failed.items())
    return line, line == f"{len(USERS)} of {len(USERS)} users emailed, none twice, lag 0"
