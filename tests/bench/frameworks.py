"""The jobs of peers.py on two frameworks.

python tests/bench/frameworks.py FRAMEWORK JOB TOPIC GROUP COUNT
"""

from peers import BATCH, SERVERS, handle, handle_all, main, published, users


class FastStream:
    """A framework that stands on aiokafka."""

    async def run(self, topic, handler, **options):
        from faststream import AckPolicy, FastStream
        from faststream.kafka import KafkaBroker

        broker = KafkaBroker(SERVERS, logger=None)
        options.update(auto_offset_reset="earliest", ack_policy=AckPolicy.MANUAL)
        broker.subscriber(topic, **options)(handler)
        await FastStream(broker, logger=None).run()

    async def stream(self, topic, group, pace):
        from faststream.kafka import KafkaMessage

        async def handler(email: bytes, message: KafkaMessage):
            handle(email)
            if pace.is_due(message.raw_message.offset):
                await message.ack()

        await self.run(topic, handler, group_id=group)

    async def batch(self, topic, group):
        from faststream.kafka import KafkaMessage

        async def handler(emails: list[bytes], message: KafkaMessage):
            handle_all(emails)
            await message.ack()

        options = {"group_id": group, "batch": True, "max_records": BATCH}
        await self.run(topic, handler, **options)

    async def producer(self, topic, count):
        from faststream.kafka import KafkaBroker

        broker = KafkaBroker(SERVERS, logger=None, enable_idempotence=True)
        async with broker:
            for email in users(count):
                value = email.encode()
                future = await broker.publish(value, topic, key=value, no_confirm=True)
                future.add_done_callback(lambda _, email=email: published(email))


class Arroyo:
    """A framework that stands on confluent-kafka."""

    def run(self, topic, group, policy, steps):
        from arroyo.backends.kafka import KafkaConsumer
        from arroyo.backends.kafka import build_kafka_consumer_configuration as build
        from arroyo.processing import StreamProcessor
        from arroyo.processing.strategies import (
            CommitOffsets,
            ProcessingStrategyFactory,
        )
        from arroyo.types import Topic

        class Factory(ProcessingStrategyFactory):
            def create_with_partitions(self, commit, partitions):
                return steps(CommitOffsets(commit))

        settings = build(
            {}, group, bootstrap_servers=[SERVERS], enable_auto_commit=False
        )
        consumer = KafkaConsumer(settings)
        StreamProcessor(consumer, Topic(topic), Factory(), policy).run()

    def stream(self, topic, group, pace):
        from arroyo.commit import CommitPolicy
        from arroyo.processing.strategies import RunTask

        def task(message):
            handle(message.payload.value)

        policy = CommitPolicy(pace.pause, None)
        self.run(topic, group, policy, lambda end: RunTask(task, end))

    def batch(self, topic, group):
        from arroyo.commit import IMMEDIATE
        from arroyo.processing.strategies import BatchStep, RunTask

        def task(message):
            handle_all([value.payload.value for value in message.payload])

        def steps(end):
            return BatchStep(BATCH, 0.2, RunTask(task, end))

        self.run(topic, group, IMMEDIATE, steps)

    def producer(self, topic, count):
        from arroyo.backends.kafka import KafkaPayload, KafkaProducer
        from arroyo.types import Topic

        settings = {"bootstrap.servers": SERVERS, "enable.idempotence": True}
        settings["queue.buffering.max.messages"] = 1_000_000
        producer = KafkaProducer(settings)
        for email in users(count):
            payload = KafkaPayload(email.encode(), email.encode(), [])
            future = producer.produce(Topic(topic), payload)
            future.add_done_callback(lambda _, email=email: published(email))
        producer.close().result()


FRAMEWORKS = {"faststream": FastStream, "arroyo": Arroyo}

if __name__ == "__main__":
    main(FRAMEWORKS)
