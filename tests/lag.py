"""Show how far a consumer group has come: python tests/lag.py

Reads the same KAFKA_* variables as the scripts.
"""

import argparse
import os
import sys

from confluent_kafka import Consumer, KafkaException, TopicPartition

NAMES = {  # of the scripts' variables: what confluent-kafka calls each setting
    "KAFKA_SECURITY_PROTOCOL": "security.protocol",
    "KAFKA_SSL_CAFILE": "ssl.ca.location",
    "KAFKA_SSL_CERTFILE": "ssl.certificate.location",
    "KAFKA_SSL_KEYFILE": "ssl.key.location",
    "KAFKA_SASL_MECHANISM": "sasl.mechanism",
    "KAFKA_SASL_PLAIN_USERNAME": "sasl.username",
    "KAFKA_SASL_PLAIN_PASSWORD": "sasl.password",
}
HEADER = ("partition", "committed", "end", "lag")
SECONDS = 10  # to wait for each answer


def settings(bootstrap):
    """Return confluent-kafka's settings for this address, with our credentials."""
    secrets = {NAMES[name]: os.environ[name] for name in NAMES if os.getenv(name)}
    return {"bootstrap.servers": bootstrap, "log_level": 0, **secrets}


def rows(consumer, topic):
    """Return (number, committed offset, end, lag) for each partition of the topic."""
    found = consumer.list_topics(topic, SECONDS).topics[topic]
    if found.error:
        raise KafkaException(found.error)
    partitions = [TopicPartition(topic, number) for number in sorted(found.partitions)]
    for place in consumer.committed(partitions, SECONDS):
        start, end = consumer.get_watermark_offsets(place, SECONDS)
        if place.offset < 0:  # nothing is committed yet
            yield place.partition, "-", end, end - start
        else:
            yield place.partition, place.offset, end, end - place.offset


def main():
    """Print the table. Exit status: 0 printed, 1 failed, 2 bad flag."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--topic", default="user_signups")
    parser.add_argument("--group", default="group1")
    args = parser.parse_args()
    bootstrap, problems = os.getenv("KAFKA_BOOTSTRAP_SERVERS") or "localhost:9092", []
    options = {"group.id": args.group, "error_cb": problems.append}
    try:
        consumer = Consumer({**settings(bootstrap), **options})
        try:
            table = [HEADER, *rows(consumer, args.topic)]
        finally:
            consumer.poll(0)  # tells error_cb what went wrong
    except KafkaException as error:
        reason = (problems or error.args)[0].str()
        sys.exit(f"error: cannot read the lag of {args.topic} at {bootstrap}: {reason}")
    for row in table:
        print("{:<10} {:<10} {:<7} {}".format(*row))


if __name__ == "__main__":
    main()
