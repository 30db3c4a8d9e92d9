"""SignUps: the topic and the consumer group of one test, as the broker sees them.

The broker is asked through confluent-kafka, so the client under test cannot hide its
own mistakes.
"""

import concurrent.futures
import contextlib
import threading
import time
import uuid

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic
from script import LIMIT, wait_until
from variables import settings

REFUSALS = {  # to ask again would not help
    KafkaError.GROUP_ID_NOT_FOUND,
    KafkaError.INVALID_PARTITIONS,
    KafkaError.UNKNOWN_MEMBER_ID,  # the group has members
    KafkaError.TOPIC_ALREADY_EXISTS,
}


def insist(question):
    """Return the answer. If a broker or a coordinator is not up yet, ask again."""
    deadline = time.monotonic() + LIMIT
    while True:
        try:
            return question()
        except KafkaException as error:
            if error.args[0].code() in REFUSALS or time.monotonic() > deadline:
                raise
            time.sleep(0.1)


class SignUps:
    """A new topic, unless `partitions` is 0, and a group that nobody else uses."""

    def __init__(self, bootstrap, partitions=1):
        self.bootstrap = bootstrap
        self.cluster = {**settings(bootstrap), "reconnect.backoff.max.ms": 500}
        self.topic = f"user_signups-{uuid.uuid4().hex[:8]}"
        self.group = f"group-{self.topic}"
        self.admin, self.readers = AdminClient(self.cluster), {}
        if partitions:
            self.create(partitions)

    def place(self, script):
        """Return the flags that name the topic, and for a worker the group."""
        place = ["--topic", self.topic]
        return place if "producer" in script else [*place, "--group", self.group]

    def close(self):
        """Close the connections. The topic and the group stay."""
        for reader in self.readers.values():
            reader.close()

    def remove(self):
        """Remove the topic and the group from a broker that is not ours."""
        for futures in (
            self.admin.delete_topics([self.topic]),
            self.admin.delete_consumer_groups([self.group]),
        ):
            for future in futures.values():
                future.result()

    def ask(self, question, *arguments):
        """Return the answers of the admin client's method `question`."""

        def answers():
            futures = getattr(self.admin, question)(*arguments, request_timeout=10)
            return [future.result() for future in futures.values()]

        return insist(answers)

    def create(self, partitions=1, **config):
        """Create the topic: create(3, retention_ms=1000)."""
        config = {name.replace("_", "."): str(value) for name, value in config.items()}
        self.ask("create_topics", [NewTopic(self.topic, partitions, -1, config=config)])
        wait_until(lambda: len(self.ends()) == partitions, "the new topic")

    def delete(self):
        """Delete the topic."""
        self.ask("delete_topics", [self.topic])
        wait_until(lambda: self.topic not in self.topics(), "the end of the topic")

    def topics(self):
        """Return the names of all topics of the broker."""
        return [*self.admin.list_topics(timeout=LIMIT).topics]

    def add_partitions(self, total):
        """Let the topic have this many partitions in total."""
        self.ask("create_partitions", [NewPartitions(self.topic, total)])
        wait_until(lambda: len(self.ends()) == total, "the new partitions")

    def delete_records(self, before, partition=0):
        """Delete the messages of a partition before this offset."""
        self.ask("delete_records", [TopicPartition(self.topic, partition, before)])

    def publish(self, *values, partition=None):
        """Publish a message for each value (str, bytes, None), and wait for them."""
        place = {"key": b"key"} if partition is None else {"partition": partition}
        limits = {"message.max.bytes": 2_000_000, "queue.buffering.max.messages": 0}
        producer, failed = Producer({**self.cluster, **limits}), []
        for value in values:
            producer.produce(
                self.topic,
                value,
                on_delivery=lambda error, _: error and failed.append(error),
                **place,
            )
        left = producer.flush(LIMIT)
        assert not left and not failed, f"{left} not published, {failed[:1]}"

    def log(self):
        """Return the emails that the topic holds, without aborted transactions."""
        reader = Consumer(
            {
                **self.cluster,
                "group.id": f"reader-of-{self.topic}",
                "auto.offset.reset": "earliest",  # if offset 0 has been deleted
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 10,
            }
        )
        waiting, emails = set(self.ends()), []
        reader.assign([TopicPartition(self.topic, number, 0) for number in waiting])
        deadline = time.monotonic() + LIMIT
        while waiting:
            assert time.monotonic() < deadline, f"could not read {waiting} to the end"
            if not (message := reader.poll(0.2)):
                continue
            if not message.error():
                emails.append((message.value() or b"").decode(errors="replace"))
            elif message.error().code() == KafkaError._PARTITION_EOF:
                waiting.discard(message.partition())
        reader.close()
        return emails

    def partitions(self):
        """Return the topic's partitions, as confluent-kafka names them."""
        found = insist(lambda: self.reader.list_topics(self.topic, timeout=10))
        numbers = found.topics[self.topic].partitions
        return [TopicPartition(self.topic, number) for number in sorted(numbers)]

    def ends(self):
        """Return {partition: the offset that its next message gets}."""

        def end(partition):
            return self.reader.get_watermark_offsets(partition, timeout=10)[1]

        return {p.partition: insist(lambda: end(p)) for p in self.partitions()}  # noqa: B023

    @property
    def reader(self):
        """A client that knows the group, but is not one of its members."""
        if self.group not in self.readers:
            settings = {"group.id": self.group, "enable.auto.commit": False}
            self.readers[self.group] = Consumer({**self.cluster, **settings})
        return self.readers[self.group]

    def commit(self, offset, partition=0):
        """Set the committed offset of the group, which must have no members."""
        place = TopicPartition(self.topic, partition, offset)
        insist(lambda: self.reader.commit(offsets=[place], asynchronous=False))

    def offsets(self):
        """Return {partition: the group's committed offset}, if there is one.

        The admin client has a question for it, too, but librdkafka crashes on the
        answer of a coordinator that is not ready.
        """
        partitions = self.partitions()
        found = insist(lambda: self.reader.committed(partitions, timeout=10))
        return {p.partition: p.offset for p in found if p.offset >= 0}

    def committed(self):
        """Return the sum of the group's committed offsets."""
        return sum(self.offsets().values())

    def lag(self):
        """Return how many messages the group has not committed yet."""
        return sum(self.ends().values()) - self.committed()

    def wait_until_done(self):
        """Wait until the group has committed every message."""
        wait_until(lambda: self.lag() == 0, f"lag 0 of {self.group}")

    @contextlib.contextmanager
    def never_set_back(self):
        """Check 20 times a second meanwhile that no committed offset decreases."""
        is_over, highest, set_back = threading.Event(), {}, []

        def watch():
            while not is_over.wait(0.05):
                for partition, offset in self.offsets().items():
                    if offset < highest.setdefault(partition, offset):
                        set_back.append((partition, highest[partition], offset))
                    highest[partition] = offset

        with concurrent.futures.ThreadPoolExecutor() as pool:
            watching = pool.submit(watch)
            try:
                yield
            finally:
                is_over.set()
        watching.result()
        assert set_back == [], "(partition, from, to) of offsets that decreased"

    def members(self):
        """Return the members' client ids, or none while the group is not stable."""
        try:
            [group] = self.ask("describe_consumer_groups", [self.group])
        except KafkaException as error:
            if error.args[0].code() != KafkaError.GROUP_ID_NOT_FOUND:
                raise
            return []
        is_stable = group.state.name == "STABLE"
        return [member.client_id for member in group.members] if is_stable else []

    @contextlib.contextmanager
    def other_member(self, strategy):
        """Let there be a member that only waits. In a range, it comes after ours."""
        settings = {"client.id": "z", "partition.assignment.strategy": strategy}
        settings |= {"group.id": self.group, "enable.auto.commit": False}
        member = Consumer({**self.cluster, **settings})
        member.subscribe([self.topic])
        while not member.assignment():
            member.poll(0.1)
        yield
        member.close()

    def wait_for_members(self, number):
        """Wait until the group is stable with this number of members."""
        self.offsets()  # the admin client may hang if there is no coordinator yet
        wait_until(
            lambda: len(self.members()) == number, f"{number} members in a stable group"
        )
