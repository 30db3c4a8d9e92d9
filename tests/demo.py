"""The article, played unattended on a real broker in about 15 seconds: `bash tests/demo.sh`.

A producer signs 10 users up. The streaming worker is stopped in the middle of one of them, the
batch worker of the same group takes over and is stopped with users in its buffer. Then the demo
counts: exit status 0 if every user was emailed, none twice, and the group has nothing left to do.

It starts a Kafka of its own, or uses KAFKA_BOOTSTRAP_SERVERS and removes its topic at the end.
"""

import contextlib
import itertools
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter

import psutil
from broker import Broker, BrokerError
from kafka import KafkaConsumer, TopicPartition
from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError

USERS = [f"user{number}@gmail.com" for number in range(10)]
PROMISE = "10 of 10 users emailed, none twice, lag 0"
LIMIT = 30  # seconds for any one fact to come true: several times what a slow machine needs
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
COLOURS = {"producer": 33, "streaming_worker": 36, "batch_worker": 35, "demo": 32}
SETTINGS = "bootstrap_servers security_protocol sasl_mechanism sasl_plain_username"
SETTINGS += " sasl_plain_password ssl_cafile"

news = threading.Condition()  # for every line, while it is shown and after it was


class Failure(Exception):
    """The story cannot go on; the message says why, in one line."""


def ignore_stops():
    """From here on no signal disturbs the end."""
    for number in STOPS:
        signal.signal(number, signal.SIG_IGN)


def interrupt(number, _):
    """Signal handler: leave by way of clean_up()."""
    ignore_stops()
    sys.exit(128 + number)


def say(line, name="demo"):
    """Show a line and who says it. Output that is gone (head, terminal) is no reason to stop."""
    label = f"{name:<16}  |"
    with news:
        try:
            if sys.stdout.isatty():
                label = f"\033[{COLOURS[name]}m{label}\033[0m"
            print(label, line, flush=True)
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        news.notify()


class Script:
    """One of the three scripts, started with `flags`; `lines` is what it said so far."""

    def __init__(self, name, *flags):
        self.name, self.lines = name, []
        self.process = subprocess.Popen(
            [sys.executable, f"{name}.py", *flags],
            cwd=pathlib.Path(__file__).resolve().parents[1],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            start_new_session=True,  # our terminal's Ctrl+C is for the demo only
        )
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        """Keep and show what the script prints, and how it ends."""
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            say(self.lines[-1], self.name)
        self.lines.append(f"exited with code {self.process.wait()}")
        say(self.lines[-1], self.name)

    def count(self, text):
        """Return how many of the lines begin with `text`."""
        return sum(line.startswith(text) for line in self.lines)

    def wait_for(self, text, count=1):
        """Return once `count` of the lines begin with `text`."""
        with news:
            news.wait_for(lambda: self.count(text) >= count or self.count("exited with"), LIMIT)
            if self.count(text) < count:
                missing = f"{text!r} ({self.count(text)} of {count})"
                raise Failure(f"waited in vain for {self.name} to say {missing}")


def cluster():
    """Return where the cluster is and how to log in, as settings of a Kafka client."""
    found = {name: os.environ.get(f"KAFKA_{name.upper()}") for name in SETTINGS.split()}
    return {"bootstrap_timeout_ms": 5_000, **{name: v for name, v in found.items() if v}}


def ask_broker(topic, group):
    """Return the emails that `topic` holds, and how many of them `group` has yet to commit."""
    with contextlib.closing(KafkaAdminClient(**cluster())) as admin:
        committed = admin.list_group_offsets(group)[group]
    settings = {"auto_offset_reset": "earliest", "consumer_timeout_ms": LIMIT * 1_000}
    with contextlib.closing(KafkaConsumer(topic, **settings, **cluster())) as consumer:
        partitions = [TopicPartition(topic, p) for p in consumer.partitions_for_topic(topic)]
        length = sum(consumer.end_offsets(partitions).values())
        held = [record.value.decode() for record in itertools.islice(consumer, length)]
    return held, length - sum(offset.offset for offset in committed.values())


def play(topic, group):
    """Play the story; return the verdict."""
    producer = Script("producer", "--topic", topic, "--count", str(len(USERS)))
    producer.wait_for("Published message")
    streaming = Script("streaming_worker", "--topic", topic, "--group", group)
    producer.wait_for("exited")
    streaming.wait_for(f"sending email to {USERS[3]}")
    say("pressing Ctrl+C five times in the middle of user3")
    for _ in range(5):
        time.sleep(0.1)  # a finger's pace: signals that come at once are merged into one
        streaming.process.send_signal(signal.SIGINT)
    streaming.wait_for("exited")

    _, lag = ask_broker(topic, group)
    say(f"lag {lag}, says the broker: the batch worker takes over")
    flags = ["--interval", str(LIMIT)]  # too long for a flush before the signal
    batch = Script("batch_worker", "--topic", topic, "--group", group, *flags)
    batch.wait_for("received a message", lag)
    say(f"SIGTERM, with all {lag} users in its buffer")
    batch.process.send_signal(signal.SIGTERM)
    batch.wait_for("exited")
    return verdict([producer, streaming, batch], *ask_broker(topic, group))


def verdict(scripts, held, lag):
    """Return one line: who was emailed according to `scripts`, and whatever else is not right."""
    emailed, updating, finished = Counter(), [], []
    for line in (line for script in scripts for line in script.lines):
        users = re.findall(r"[^\s'\[\]]+@[^\s'\[\],]+", line)
        if line.startswith("sending email to"):
            emailed.update(users)
        elif line.startswith("updating"):
            updating = users
        elif line.startswith("finished processing"):
            finished += updating
    missing = [user for user in USERS if user not in emailed]
    twice = [user for user, times in emailed.items() if times > 1]
    abandoned = [user for user in emailed if user not in finished]
    line = f"{len(USERS) - len(missing)} of {len(USERS)} users emailed"
    line += f" (missing: {', '.join(missing)})" if missing else ""
    line += f", {len(twice)} twice ({', '.join(twice)})" if twice else ", none twice"
    line += f", lag {lag}"
    line += f", abandoned: {', '.join(abandoned)}" if abandoned else ""
    line += f", the topic holds {', '.join(held)}" if sorted(held) != USERS else ""
    ends = [f", {script.name} {script.lines[-1]}" for script in scripts]
    return line + "".join(end for end in ends if not end.endswith("exited with code 0"))


def clean_up(data, topic, group):
    """End every process that was started; remove `data`, or elsewhere `topic` and `group`."""
    ignore_stops()
    children = psutil.Process().children()  # also one whose start was interrupted
    for child in children:
        with contextlib.suppress(psutil.NoSuchProcess):
            # On somebody's broker they leave their group; ours goes away with all it knows.
            child.kill() if data else child.terminate()
    for child in psutil.wait_procs(children, timeout=10)[1]:
        child.kill()
    if data:
        shutil.rmtree(data)
        return
    try:
        with contextlib.closing(KafkaAdminClient(**cluster())) as admin:
            if topic in admin.list_topics():
                admin.delete_topics([topic])
            admin.delete_groups([group])
    except KafkaError as error:
        say(f"could not remove topic {topic} and group {group}: {error}")


def main():
    """Run the demo; return its exit status: 0 as promised, 1 if not. A signal: 128 + its number."""
    for number in STOPS:
        signal.signal(number, interrupt)
    run, data = uuid.uuid4().hex[:8], None
    topic, group = f"user_signups_{run}", f"group1_{run}"
    try:
        if not os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
            data = tempfile.mkdtemp(prefix="demo-")
            say("starting Apache Kafka")
            broker = Broker(data)
            broker.start()
            os.environ["KAFKA_BOOTSTRAP_SERVERS"] = broker.address
        result = play(topic, group)
    except (Failure, BrokerError, KafkaError, OSError) as error:
        result = f"failed: {error}"
    finally:
        clean_up(data, topic, group)
    say(result)
    return 0 if result == PROMISE else 1


if __name__ == "__main__":
    sys.exit(main())
