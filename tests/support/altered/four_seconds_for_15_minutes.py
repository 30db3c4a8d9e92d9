"""Shorten the time that work may take by the factor 225: 15 minutes are 4 seconds."""

import altered

FACTOR = 225
KAFKA_PYTHON_DEFAULT = 300_000

worker = altered.script()
kafka_consumer = worker.KafkaConsumer


def impatient(**settings):
    longest = settings.get("max_poll_interval_ms", KAFKA_PYTHON_DEFAULT)
    # The client compares the time with the limit once per heartbeat.
    settings.update(max_poll_interval_ms=longest // FACTOR, heartbeat_interval_ms=500)
    return kafka_consumer(**settings)


worker.KafkaConsumer = impatient
worker.main()
