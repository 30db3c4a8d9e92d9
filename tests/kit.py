"""What the tests are made of: real processes (Script) on a real broker (SignUps)."""

import ast
import collections
import concurrent.futures
import contextlib
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time
import uuid

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, OffsetSpec
from kafka.errors import KafkaError

ROOT = pathlib.Path(__file__).parents[1]
STREAMING, BATCH, PRODUCER = "streaming_worker.py", "batch_worker.py", "producer.py"
FAREWELL = "End of the program. I was killed gracefully"
POSIX = os.name == "posix"
STOPS = (  # the signals that a worker stops for; Windows can send one process this one only
    [signal.SIGINT, signal.SIGTERM, signal.SIGHUP] if POSIX else [signal.CTRL_BREAK_EVENT]
)
LIMIT = 60  # seconds that any fact may take to come true
SECURITY = {  # of a broker that the environment names, for our own clients
    name[len("KAFKA_") :].lower(): value
    for name, value in os.environ.items()
    if name.startswith(("KAFKA_SASL_", "KAFKA_SSL_", "KAFKA_SECURITY_"))
}


def wait_until(fact, what, seconds=LIMIT):
    """Return the first true value of `fact()`; fail, naming `what`, if it takes too long."""
    deadline = time.monotonic() + seconds
    while not (value := fact()):
        assert time.monotonic() < deadline, f"waited {seconds} s in vain for {what}"
        time.sleep(0.02)
    return value


def users(*numbers):
    """Return the addresses that producer.py gives to these numbers."""
    return [f"user{number}@gmail.com" for number in numbers]


class Script:
    """One of the scripts in a process of its own, and every line it prints, as it comes.

    `code` is Python to run instead of the script, with the module's name as its first argument: it
    imports the module, changes something and calls main().
    """

    def __init__(self, script, *arguments, bootstrap, code=None, env=(), **options):
        command = [sys.executable, *(["-c", code, script[:-3]] if code else [ROOT / script])]
        self.name = script
        self.out, self.err, self.timeline = [], [], []
        self.process = subprocess.Popen(
            [*map(str, command), *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=options.pop("stdout", subprocess.PIPE),
            stderr=options.pop("stderr", subprocess.PIPE),
            env={**os.environ, "KAFKA_BOOTSTRAP_SERVERS": bootstrap, **dict(env)},
            cwd=ROOT,
            encoding="utf-8",
            start_new_session=True,
            creationflags=0 if POSIX else subprocess.CREATE_NEW_PROCESS_GROUP,
            **options,
        )
        self.readers = [
            threading.Thread(target=self.read, args=[stream, lines], daemon=True)
            for stream, lines in [(self.process.stdout, self.out), (self.process.stderr, self.err)]
            if stream
        ]
        for reader in self.readers:
            reader.start()

    def read(self, stream, lines):
        """Collect the lines of a stream as they come, until its end."""
        with stream:
            for line in stream:
                lines.append(line)
                self.timeline.append((time.monotonic(), line))

    def count(self, text):
        """Return how many lines of the standard output hold `text` by now."""
        return sum(text in line for line in list(self.out))

    def wait_for(self, text, times=1):
        """Wait until `text` was printed in so many lines; fail at once if the script ends first."""

        def seen():
            is_over = self.process.poll() is not None
            if is_over:
                self.join()
            return self.count(text) >= times or is_over

        wait_until(seen, f"{times}x {text!r} of {self.name}")
        assert self.count(text) >= times, f"{self.name} ended without {times}x {text!r}"

    def send(self, *signals):
        """Send these signals, one after the other."""
        for number in signals:
            self.process.send_signal(number)
        return self

    def join(self):
        """Wait for the end of the output."""
        for reader in self.readers:
            reader.join(LIMIT)

    def ended(self, seconds=LIMIT):
        """Wait for the end of the process and its output; return the exit status."""
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {seconds} s: {self}") from None
        self.join()
        return status

    def kill(self):
        """End the process at once, as `kill -9` and a power cut do."""
        self.process.kill()
        self.ended()

    @property
    def begun(self):
        """The emails that were sent, in order."""
        return self.emails("sending email to")

    @property
    def finished(self):
        """The users whose work was finished, in order."""
        updated, finished = [], []
        for line in list(self.out):
            if line.startswith("updating"):
                updated = parse_emails(line)
            elif line.startswith("finished processing"):
                finished += updated
        return finished

    @property
    def published(self):
        """The users whom the producer called published, in order."""
        return self.emails("Published message")

    @property
    def undelivered(self):
        """The users whom the producer called not delivered, in order."""
        return [line.split()[3].rstrip(":") for line in self.err if "not delivered: " in line]

    def emails(self, prefix):
        return [e for line in list(self.out) if line.startswith(prefix) for e in parse_emails(line)]

    def __str__(self):
        tail = [line.rstrip() for line in [*self.out[-30:], "-- standard error:", *self.err[-30:]]]
        return "\n".join([self.name, *tail])


def parse_emails(line):
    """Return the emails in a worker's line: one, or a list of them."""
    if found := re.search(r"\[.*\]", line):
        return ast.literal_eval(found[0])
    return [word for word in line.split() if "@" in word]


class SignUps:
    """A topic and a consumer group for one test, and what the broker says about them."""

    def __init__(self, bootstrap, partitions=1):
        self.bootstrap = bootstrap
        self.cluster = {"bootstrap_servers": bootstrap, "bootstrap_timeout_ms": 5_000, **SECURITY}
        self.topic = f"user_signups-{uuid.uuid4().hex[:8]}"
        self.group = f"group-{self.topic}"
        self.admin = KafkaAdminClient(**self.cluster, reconnect_backoff_max_ms=500)
        if partitions:
            self.admin.create_topics({self.topic: {"num_partitions": partitions}})
            wait_until(lambda: len(self.ends()) == partitions, "the new topic")

    def close(self):
        self.admin.close()

    def remove(self):
        """Remove the topic and the group, from a broker that is not ours."""
        self.admin.delete_topics([self.topic])
        self.admin.delete_groups([self.group])

    def ask(self, question, *arguments):
        """Return the admin client's answer; wait for a broker or coordinator that is not up yet."""
        deadline = time.monotonic() + LIMIT
        while True:
            try:
                return getattr(self.admin, question)(*arguments)
            except KafkaError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
                self.admin._manager.cluster._coordinators.clear()  # else remembered for ever

    def publish(self, *values, **options):
        """Publish one message for each value (str, bytes or None) and wait until they are in."""
        producer = KafkaProducer(**self.cluster, max_request_size=2_000_000, **options)
        for value in values:
            value = value.encode() if isinstance(value, str) else value
            producer.send(self.topic, key=b"key", value=value)
        producer.flush(timeout=LIMIT)
        producer.close(timeout=LIMIT)

    def log(self):
        """Return the emails that the topic holds, in order."""
        consumer = KafkaConsumer(**self.cluster, auto_offset_reset="earliest")
        consumer.assign([TopicPartition(self.topic, n) for n in range(len(self.ends()))])
        emails = []
        while len(emails) < sum(self.ends().values()):
            for records in consumer.poll(timeout_ms=200).values():
                emails += [record.value.decode() for record in records]
        consumer.close()
        return emails

    def ends(self):
        """Return {partition: offset that the next message gets}."""
        partitions = self.ask("describe_topics", [self.topic])[0]["partitions"]
        wanted = [TopicPartition(self.topic, p["partition_index"]) for p in partitions]
        offsets = self.ask("list_partition_offsets", dict.fromkeys(wanted, OffsetSpec.LATEST))
        return {tp.partition: found.offset for tp, found in offsets.items()}

    def offsets(self):
        """Return {partition: offset that the group has committed}."""
        offsets = self.ask("list_group_offsets", self.group)[self.group]
        return {tp.partition: found.offset for tp, found in offsets.items()}

    def committed(self):
        """Return the sum of the group's committed offsets over all partitions."""
        return sum(self.offsets().values())

    @contextlib.contextmanager
    def never_set_back(self):
        """Look at the committed offsets 20 times a second meanwhile: none may ever decrease."""
        is_over, highest, set_back = threading.Event(), {}, []

        def watch():
            while not is_over.wait(0.05):
                for partition, offset in self.offsets().items():
                    if offset < highest.setdefault(partition, offset):
                        set_back.append(f"{partition} from {highest[partition]} to {offset}")
                    highest[partition] = offset

        with concurrent.futures.ThreadPoolExecutor() as pool:
            watching = pool.submit(watch)
            try:
                yield
            finally:
                is_over.set()
        watching.result()
        assert set_back == [], "partitions whose committed offset decreased"

    def lag(self):
        """Return how many messages the group has not committed yet."""
        return sum(self.ends().values()) - self.committed()

    def members(self):
        """Return the client ids of the members, none while the group is not stable."""
        group = self.ask("describe_groups", [self.group])[self.group]
        is_stable = group["group_state"] == "Stable"
        return [member["client_id"] for member in group["members"] if is_stable]

    def wait_for_members(self, number):
        """Wait until the group is stable with this number of members."""
        wait_until(lambda: len(self.members()) == number, f"{number} members in a stable group")


def tally(*scripts):
    """Return (how often each user was emailed, the set of those whose work was finished)."""
    emailed = collections.Counter(email for script in scripts for email in script.begun)
    return emailed, {email for script in scripts for email in script.finished}


def assert_each_once(expected, *scripts):
    """Check the promise of a graceful stop: nobody lost, nobody twice."""
    emailed, finished = tally(*scripts)
    assert sorted(finished) == sorted(expected), "lost or unknown users"
    assert [email for email, times in emailed.items() if times > 1] == [], "emailed twice"
    assert sorted(emailed) == sorted(expected), "begun, but not finished"
