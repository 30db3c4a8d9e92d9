"""The three jobs on other clients: `bench_peers.py CLIENT JOB TOPIC GROUP COUNT`, for bench.py.

Streaming commits after each message, batch after each 500 at most, both wait for the broker's
answer; the producer checks every delivery, acks=all and idempotent. Everything else is as the
client comes. Lines, where the job prints any, are those of the scripts.
"""

import asyncio
import concurrent.futures
import os
import sys

SERVERS = os.environ["KAFKA_BOOTSTRAP_SERVERS"]
BATCH = 500


def handle(email):
    """Do what the streaming worker does with `--work-seconds 0`: say three lines."""
    email = email.decode()
    print(f"sending email to {email}")
    print(f"updating user {email} status to Waiting Confirmation")
    print("finished processing message")


def handle_all(emails):
    """Do what the batch worker does with `--work-seconds 0`."""
    print("\n".join(["received a message, inserting into a queue buffer"] * len(emails)))
    emails = [email.decode() for email in emails]
    print(f"flushing {len(emails)} users: the buffer is full")
    print("processing message in queue buffer")
    print(f"sending email to users {emails}")
    print(f"updating status to Waiting Confirmation for users {emails}")
    print("finished processing messages")


def published(email):
    """Say what the producer says once a message is delivered."""
    print(f"Published message to message broker. User email: {email}")


def users(count):
    """Return the addresses to publish."""
    return (f"user{number}@gmail.com" for number in range(count))


class KafkaPython:
    """The tightest loop: the scripts with all that keeps their promise left out."""

    def consumer(self, topic, group):
        from kafka import KafkaConsumer

        return KafkaConsumer(
            topic,
            bootstrap_servers=SERVERS,
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )

    def streaming(self, topic, group, _):
        consumer = self.consumer(topic, group)
        while True:
            for [record] in consumer.poll(timeout_ms=200, max_records=1).values():
                handle(record.value)
                consumer.commit()

    def batch(self, topic, group, _):
        consumer = self.consumer(topic, group)
        while True:
            for records in consumer.poll(timeout_ms=200, max_records=BATCH).values():
                handle_all([record.value for record in records])
                consumer.commit()

    def producer(self, topic, _, count):
        from kafka import KafkaProducer

        producer = KafkaProducer(bootstrap_servers=SERVERS)
        sent = [
            (email, producer.send(topic, key=email.encode(), value=email.encode()))
            for email in users(count)
        ]
        for email, future in sent:
            future.get(60)
            published(email)


class ConfluentKafka:
    """librdkafka, in C."""

    def consumer(self, topic, group):
        from confluent_kafka import Consumer

        consumer = Consumer(
            {
                "bootstrap.servers": SERVERS,
                "group.id": group,
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
            }
        )
        consumer.subscribe([topic])
        return consumer

    def streaming(self, topic, group, _):
        consumer = self.consumer(topic, group)
        while True:
            message = consumer.poll(0.2)
            if message and not message.error():
                handle(message.value())
                consumer.commit(message, asynchronous=False)

    def batch(self, topic, group, _):
        consumer = self.consumer(topic, group)
        while True:
            messages = [m for m in consumer.consume(BATCH, 0.2) if not m.error()]
            if messages:
                handle_all([message.value() for message in messages])
                consumer.commit(asynchronous=False)

    def producer(self, topic, _, count):
        from confluent_kafka import Producer

        def confirm(error, message):
            assert not error, error
            published(message.value().decode())

        producer = Producer({"bootstrap.servers": SERVERS, "enable.idempotence": True})
        for email in users(count):
            while True:
                try:
                    producer.produce(topic, email, email, on_delivery=confirm)
                    break
                except BufferError:
                    producer.poll(0.1)
            producer.poll(0)
        assert producer.flush(60) == 0


class Aiokafka:
    """asyncio."""

    def consumer(self, topic, group):
        from aiokafka import AIOKafkaConsumer

        return AIOKafkaConsumer(
            topic,
            bootstrap_servers=SERVERS,
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )

    async def streaming(self, topic, group, _):
        async with self.consumer(topic, group) as consumer:
            async for record in consumer:
                handle(record.value)
                await consumer.commit()

    async def batch(self, topic, group, _):
        async with self.consumer(topic, group) as consumer:
            while True:
                polled = await consumer.getmany(timeout_ms=200, max_records=BATCH)
                for records in polled.values():
                    handle_all([record.value for record in records])
                    await consumer.commit()

    async def producer(self, topic, _, count):
        from aiokafka import AIOKafkaProducer

        sent = []
        async with AIOKafkaProducer(bootstrap_servers=SERVERS, enable_idempotence=True) as producer:
            for email in users(count):
                sent.append((email, await producer.send(topic, email.encode(), email.encode())))
            for email, future in sent:
                await future
                published(email)


class FastStream:
    """A framework over aiokafka: the handler's message is committed when it returns."""

    def app(self, topic, handler, **options):
        from faststream import AckPolicy, FastStream
        from faststream.kafka import KafkaBroker

        broker = KafkaBroker(SERVERS, logger=None)
        options.update(auto_offset_reset="earliest", ack_policy=AckPolicy.ACK)
        broker.subscriber(topic, **options)(handler)
        return FastStream(broker, logger=None)

    async def streaming(self, topic, group, _):
        async def handler(email: bytes):
            handle(email)

        await self.app(topic, handler, group_id=group).run()

    async def batch(self, topic, group, _):
        async def handler(emails: list[bytes]):
            handle_all(emails)

        app = self.app(topic, handler, group_id=group, batch=True, max_records=BATCH)
        await app.run()

    async def producer(self, topic, _, count):
        from faststream.kafka import KafkaBroker

        sent = []
        async with KafkaBroker(SERVERS, logger=None, enable_idempotence=True) as broker:
            for email in users(count):
                future = await broker.publish(
                    email.encode(), topic, key=email.encode(), no_confirm=True
                )
                sent.append((email, future))
            for email, future in sent:
                await future
                published(email)


class Arroyo:
    """Sentry's framework over confluent-kafka."""

    def run(self, topic, group, steps):
        from arroyo.backends.kafka import KafkaConsumer, build_kafka_consumer_configuration
        from arroyo.commit import IMMEDIATE
        from arroyo.processing import StreamProcessor
        from arroyo.processing.strategies import CommitOffsets, ProcessingStrategyFactory
        from arroyo.types import Topic

        class Factory(ProcessingStrategyFactory):
            def create_with_partitions(self, commit, partitions):
                return steps(CommitOffsets(commit))

        config = build_kafka_consumer_configuration(
            {}, bootstrap_servers=[SERVERS], group_id=group, enable_auto_commit=False
        )
        StreamProcessor(KafkaConsumer(config), Topic(topic), Factory(), IMMEDIATE).run()

    def streaming(self, topic, group, _):
        from arroyo.processing.strategies import RunTask

        def task(message):
            handle(message.payload.value)

        self.run(topic, group, lambda end: RunTask(task, end))

    def batch(self, topic, group, _):
        from arroyo.processing.strategies import BatchStep, RunTask

        def task(message):
            handle_all([value.payload.value for value in message.payload])

        self.run(topic, group, lambda end: BatchStep(BATCH, 5, RunTask(task, end)))

    def producer(self, topic, _, count):
        from arroyo.backends.kafka import KafkaPayload, KafkaProducer
        from arroyo.types import Topic

        producer = KafkaProducer(
            {
                "bootstrap.servers": SERVERS,
                "enable.idempotence": True,
                "queue.buffering.max.messages": 1_000_000,
            }
        )
        sent = []
        for email in users(count):
            payload = KafkaPayload(email.encode(), email.encode(), [])
            sent.append((email, producer.produce(Topic(topic), payload)))
        for email, future in sent:
            future.result(60)
            published(email)
        concurrent.futures.wait([producer.close()])


CLIENTS = {
    "kafka-python": KafkaPython,
    "confluent-kafka": ConfluentKafka,
    "aiokafka": Aiokafka,
    "faststream": FastStream,
    "arroyo": Arroyo,
}


def main():
    """Do one job on one client: the producer until done, the others until killed."""
    sys.stdout.reconfigure(line_buffering=True)
    client, job, topic, group, count = sys.argv[1:]
    result = getattr(CLIENTS[client](), job)(topic, group, int(count))
    if asyncio.iscoroutine(result):
        asyncio.run(result)


if __name__ == "__main__":
    main()
