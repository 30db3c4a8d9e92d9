"""The jobs of the three scripts on other clients, with nothing but the job itself.

python tests/bench/peers.py CLIENT JOB TOPIC GROUP COUNT

The jobs are `each` (one message at a time, and a commit for each), `shared` (one
message at a time, and a commit every 10 ms), `batch` (up to 500 messages at a time, and
a commit for each batch) and `producer` (a callback prints each message that the broker
has acknowledged). Every commit waits for the broker's answer. Every line is flushed at
once, as the scripts do it. COUNT is the number of messages to publish, or the number
that the topic holds: after the last one, `shared` commits at once.
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
    print(
        "\n".join(["received a message, inserting into a queue buffer"] * len(emails))
    )
    emails = [email.decode() for email in emails]
    print(f"flushing {len(emails)} users: the buffer is full")
    print("processing message in queue buffer")
    print(f"sending email to users {emails}")
    print(f"updating status to Waiting Confirmation for users {emails}")
    print("finished processing messages")


def published(email):
    """Print what producer.py prints for one user."""
    print(f"Published message to message broker. User email: {email}")


def users(count):
    """Yield the users to publish."""
    return (f"user{number}@gmail.com" for number in range(count))


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


class KafkaPython:
    """The client of the scripts."""

    def consumer(self, topic, group, **options):
        from kafka import KafkaConsumer

        return KafkaConsumer(
            topic,
            bootstrap_servers=SERVERS,
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            receive_message_max_bytes=100_000_000,  # 2.3 refuses more than 1 MB
            **options,
        )

    def stream(self, topic, group, pace):
        consumer = self.consumer(topic, group, max_poll_records=1)
        for message in consumer:
            handle(message.value)
            if pace.is_due(message.offset):
                consumer.commit()

    def batch(self, topic, group):
        consumer = self.consumer(topic, group)
        while True:
            polled = consumer.poll(timeout_ms=200, max_records=BATCH)
            for messages in polled.values():
                handle_all([message.value for message in messages])
                consumer.commit()

    def producer(self, topic, count):
        from kafka import KafkaProducer

        producer = KafkaProducer(
            bootstrap_servers=SERVERS, acks="all", enable_idempotence=True
        )
        for email in users(count):
            future = producer.send(topic, key=email.encode(), value=email.encode())
            future.add_callback(lambda _, email=email: published(email))
        producer.flush()


class ConfluentKafka:
    """librdkafka, a client in C."""

    def consumer(self, topic, group):
        from confluent_kafka import Consumer

        settings = {
            "bootstrap.servers": SERVERS,
            "group.id": group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
        }
        consumer = Consumer(settings)
        consumer.subscribe([topic])
        return consumer

    def stream(self, topic, group, pace):
        consumer = self.consumer(topic, group)
        while True:
            message = consumer.poll(0.2)
            if message and not message.error():
                handle(message.value())
                if pace.is_due(message.offset()):
                    consumer.commit(message, asynchronous=False)

    def batch(self, topic, group):
        consumer = self.consumer(topic, group)
        while True:
            messages = [m for m in consumer.consume(BATCH, 0.2) if not m.error()]
            if messages:
                handle_all([message.value() for message in messages])
                consumer.commit(asynchronous=False)

    def producer(self, topic, count):
        from confluent_kafka import Producer

        def acknowledged(error, message):
            assert not error, error
            published(message.value().decode())

        producer = Producer({"bootstrap.servers": SERVERS, "enable.idempotence": True})
        for email in users(count):
            while len(producer) > 50_000:  # its queue holds 100,000
                producer.poll(0.1)
            producer.produce(topic, email, email, on_delivery=acknowledged)
            producer.poll(0)
        assert producer.flush(60) == 0


class Aiokafka:
    """A client in asyncio."""

    def consumer(self, topic, group):
        from aiokafka import AIOKafkaConsumer

        return AIOKafkaConsumer(
            topic,
            bootstrap_servers=SERVERS,
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )

    async def stream(self, topic, group, pace):
        async with self.consumer(topic, group) as consumer:
            async for message in consumer:
                handle(message.value)
                if pace.is_due(message.offset):
                    await consumer.commit()

    async def batch(self, topic, group):
        async with self.consumer(topic, group) as consumer:
            while True:
                polled = await consumer.getmany(timeout_ms=200, max_records=BATCH)
                for messages in polled.values():
                    handle_all([message.value for message in messages])
                    await consumer.commit()

    async def producer(self, topic, count):
        from aiokafka import AIOKafkaProducer

        settings = {"bootstrap_servers": SERVERS, "enable_idempotence": True}
        async with AIOKafkaProducer(**settings) as producer:
            for email in users(count):
                value = email.encode()
                future = await producer.send(topic, value, key=value)
                future.add_done_callback(lambda _, email=email: published(email))


CLIENTS = {
    "kafka-python": KafkaPython,
    "confluent-kafka": ConfluentKafka,
    "aiokafka": Aiokafka,
}


def main(clients):
    """Do one job on one client: the producer until it is done, the others for ever."""
    sys.stdout.reconfigure(line_buffering=True)
    name, job, topic, group, count = sys.argv[1:]
    client, count = clients[name](), int(count)
    if job == "producer":
        result = client.producer(topic, count)
    elif job == "batch":
        result = client.batch(topic, group)
    else:
        result = client.stream(topic, group, Pace(job, count))
    if asyncio.iscoroutine(result):
        asyncio.run(result)


if __name__ == "__main__":
    main(CLIENTS)
