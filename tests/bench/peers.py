"""The jobs of the three scripts on other clients, with nothing but the job itself.

python tests/bench/peers.py CLIENT JOB TOPIC GROUP COUNT

The jobs are `each` (one message at a time, and a commit for each), `shared` (one
message at a time, and a commit every 10 ms), `batch` (up to 500 messages at a time, and
a commit for each batch) and, on kafka-python alone, `producer` (a callback prints each
message that the broker has acknowledged). Every commit waits for the broker's answer.
Every line is flushed at once, as the scripts do it. COUNT is the number of messages to
publish, or the number that the topic holds: after the last one, `shared` commits at
once.
"""

import asyncio
import os
import sys
import time

SERVERS = os.environ["KAFKA_BOOTSTRAP_SERVERS"]
BATCH = 500
SHARE_SECONDS = 0.01


def handle(email):
    """Print what streaming_worker.py prints for one user."""
    email = email.decode()
    print(f"sending email to {email}")
    print(f"updating user {email} status to Waiting Confirmation")
    print("finished processing message")


def handle_all(emails):
    """Print what batch_worker.py prints for one batch."""
    line = "received a message, inserting into a queue buffer"
    print("\n".join([line] * len(emails)))
    emails = [email.decode() for email in emails]
    print(f"flushing {len(emails)} users: the buffer is full")
    print("processing message in queue buffer")
    print(f"sending email to users {emails}")
    print(f"updating status to Waiting Confirmation for users {emails}")
    print("finished processing messages")


class Pace:
    """Tells when to commit: after each message, or every 10 ms."""

    def __init__(self, job, count):
        self.pause = SHARE_SECONDS if job == "shared" else 0
        self.last, self.next_at = count - 1, 0

    def is_due(self, offset):
        if offset != self.last and time.monotonic() < self.next_at:
            return False
        self.next_at = time.monotonic() + self.pause
        return True


def kafka_python(job, topic, group, pace, **settings):
    """The client of the scripts. All that the job does not need is its default."""
    from kafka import KafkaConsumer

    consumer = KafkaConsumer(
        topic,
        bootstrap_servers=SERVERS,
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        receive_message_max_bytes=100_000_000,  # 2.3 refuses more than 1 MB
        **settings,
    )
    while job == "batch":
        polled = consumer.poll(timeout_ms=200)  # up to 500, its max_poll_records
        for messages in polled.values():
            handle_all([message.value for message in messages])
            consumer.commit()
    for message in consumer:
        handle(message.value)
        if pace.is_due(message.offset):
            consumer.commit()


def one_record(*job):
    """The same with one record a poll, as streaming_worker.py has it."""
    kafka_python(*job, max_poll_records=1)


def publish(topic, count):
    """Do the job of producer.py on its own client."""
    from kafka import KafkaProducer

    producer = KafkaProducer(
        bootstrap_servers=SERVERS, acks="all", enable_idempotence=True
    )
    for number in range(count):
        email = f"user{number}@gmail.com"
        line = f"Published message to message broker. User email: {email}"
        future = producer.send(topic, key=email.encode(), value=email.encode())
        future.add_callback(lambda _, line=line: print(line))
    producer.flush()


def confluent_kafka(job, topic, group, pace):
    """librdkafka, a client in C."""
    from confluent_kafka import Consumer

    settings = {
        "bootstrap.servers": SERVERS,
        "group.id": group,
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
    }
    consumer = Consumer(settings)
    consumer.subscribe([topic])
    while job == "batch":
        messages = [m for m in consumer.consume(BATCH, 0.2) if not m.error()]
        if messages:
            handle_all([message.value() for message in messages])
            consumer.commit(asynchronous=False)
    while True:
        message = consumer.poll(0.2)
        if message and not message.error():
            handle(message.value())
            if pace.is_due(message.offset()):
                consumer.commit(message, asynchronous=False)


async def aiokafka(job, topic, group, pace):
    """A client in asyncio."""
    from aiokafka import AIOKafkaConsumer

    settings = {
        "bootstrap_servers": SERVERS,
        "group_id": group,
        "enable_auto_commit": False,
        "auto_offset_reset": "earliest",
    }
    async with AIOKafkaConsumer(topic, **settings) as consumer:
        while job == "batch":
            polled = await consumer.getmany(timeout_ms=200, max_records=BATCH)
            for messages in polled.values():
                handle_all([message.value for message in messages])
                await consumer.commit()
        async for message in consumer:
            handle(message.value)
            if pace.is_due(message.offset):
                await consumer.commit()


async def faststream(job, topic, group, pace):
    """A framework that stands on aiokafka."""
    from faststream import AckPolicy, FastStream
    from faststream.kafka import KafkaBroker, KafkaMessage

    async def one(email: bytes, message: KafkaMessage):
        handle(email)
        if pace.is_due(message.raw_message.offset):
            await message.ack()

    async def many(emails: list[bytes], message: KafkaMessage):
        handle_all(emails)
        await message.ack()

    broker = KafkaBroker(SERVERS, logger=None)
    options = {"group_id": group, "auto_offset_reset": "earliest"}
    options["ack_policy"] = AckPolicy.MANUAL
    if job == "batch":
        broker.subscriber(topic, batch=True, max_records=BATCH, **options)(many)
    else:
        broker.subscriber(topic, **options)(one)
    await FastStream(broker, logger=None).run()


def arroyo(job, topic, group, pace):
    """A framework that stands on confluent-kafka."""
    from arroyo.backends.kafka import KafkaConsumer
    from arroyo.backends.kafka import build_kafka_consumer_configuration as build
    from arroyo.commit import IMMEDIATE, CommitPolicy
    from arroyo.processing import StreamProcessor, strategies
    from arroyo.types import Topic

    def one(message):
        handle(message.payload.value)

    def many(message):
        handle_all([value.payload.value for value in message.payload])

    class Factory(strategies.ProcessingStrategyFactory):
        def create_with_partitions(self, commit, partitions):
            end = strategies.CommitOffsets(commit)
            if job == "batch":
                return strategies.BatchStep(BATCH, 0.2, strategies.RunTask(many, end))
            return strategies.RunTask(one, end)

    policy = IMMEDIATE if job == "batch" else CommitPolicy(pace.pause, None)
    settings = build({}, group, bootstrap_servers=[SERVERS], enable_auto_commit=False)
    StreamProcessor(KafkaConsumer(settings), Topic(topic), Factory(), policy).run()


CLIENTS = {
    "kafka-python": kafka_python,
    "kafka-python, one record a poll": one_record,
    "confluent-kafka": confluent_kafka,
    "aiokafka": aiokafka,
    "faststream": faststream,
    "arroyo": arroyo,
}


def main():
    """Do one job on one client: the producer until it is done, the others for ever."""
    sys.stdout.reconfigure(line_buffering=True)
    client, job, topic, group, count = sys.argv[1:]
    if job == "producer":
        publish(topic, int(count))
        return
    result = CLIENTS[client](job, topic, group, Pace(job, int(count)))
    if asyncio.iscoroutine(result):
        asyncio.run(result)


if __name__ == "__main__":
    main()
