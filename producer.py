"""Producer: signs users up, and prints each one once the broker has it.

Run: python producer.py
"""

import argparse
import atexit
import contextlib
import logging
import os
import signal
import sys
import time

from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import NewTopic
from kafka.errors import KafkaError

VARIABLES = """KAFKA_BOOTSTRAP_SERVERS KAFKA_SECURITY_PROTOCOL
    KAFKA_SSL_CAFILE KAFKA_SSL_CERTFILE KAFKA_SSL_KEYFILE
    KAFKA_SASL_MECHANISM KAFKA_SASL_PLAIN_USERNAME KAFKA_SASL_PLAIN_PASSWORD"""
CLUSTER = {v[6:].lower(): os.getenv(v) for v in VARIABLES.split() if os.getenv(v)}
SERVERS = CLUSTER.setdefault("bootstrap_servers", "localhost:9092")
CLUSTER.update(api_version_auto_timeout_ms=5_000, reconnect_backoff_max_ms=200)
SAFE = {"acks": "all", "enable_idempotence": True, "delivery_timeout_ms": 60_000}
is_shutting_down = False
shown = {}  # what kafka-python has logged


def shut_down(*_):
    """Sign nobody else up: a signal, or a message failed."""
    global is_shutting_down
    is_shutting_down = True


def publish(producer, topic, count, delay):
    """Sign `count` users up, `delay` seconds apart."""
    sent, waiting = 0, set()

    def acknowledged(email, _):
        waiting.remove(email)
        say(f"Published message to message broker. User email: {email}")

    while sent < count and not is_shutting_down:
        email = f"user{sent}@gmail.com"
        sent += 1
        waiting.add(email)
        try:
            future = producer.send(topic, key=email.encode(), value=email.encode())
            future.add_callback(acknowledged, email).add_errback(shut_down)
        except KafkaError:
            shut_down()
        if delay or sent % 10_000 == 0:
            producer.flush()
        next_at = time.monotonic() + delay
        while not is_shutting_down and time.monotonic() < next_at:
            time.sleep(min(delay, 0.1))
    producer.flush()
    say(f"Published {sent - len(waiting)} of {count} messages to topic {topic}")
    if waiting:
        sys.exit(f"error: not acknowledged: {', '.join(sorted(waiting))}")


def say(line):
    """Print a line. If the output is gone, the work goes on."""
    with contextlib.suppress(OSError):
        print(line, flush=True)


def once_a_minute(record):
    """Log filter: show each message of kafka-python once a minute."""
    last = shown.get(record.msg)
    if not last or record.created > last.created + 60:
        shown[record.msg] = record
    return shown[record.msg] is record


def main():
    """Exit status: 0 all published, 1 failed, 2 bad flag."""
    parser = argparse.ArgumentParser(description=__doc__, epilog=VARIABLES)
    parser.add_argument("--topic", default="user_signups")
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--delay", type=float, default=0.1)
    parser.add_argument("--partitions", type=int, default=1)
    args = parser.parse_args()
    if args.count < 0 or args.partitions < 1 or not 0 <= args.delay <= 86_400:
        parser.error("--delay 0 to 86400, --count 0 and --partitions 1 or more")
    for name in {"SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"} & {*dir(signal)}:
        signal.signal(getattr(signal, name), shut_down)
    atexit.register(vars(sys).update, stdout=None, stderr=None)  # else 120
    logging.basicConfig()
    logging.getLogger().handlers[0].addFilter(once_a_minute)
    logging.disable(logging.DEBUG)  # it would show the password
    say("starting producer")
    try:
        with contextlib.closing(KafkaAdminClient(**CLUSTER)) as admin:
            if args.topic in admin.list_topics():
                say(f"Topic {args.topic} is already created")
            else:
                admin.create_topics([NewTopic(args.topic, args.partitions, -1)])
        producer = KafkaProducer(**CLUSTER, **SAFE)
    except (KafkaError, OSError, ValueError, AssertionError, KeyError) as error:
        errors = [r.getMessage() for r in shown.values() if r.levelno == logging.ERROR]
        problem = f"cannot publish to {SERVERS}: {(errors or [repr(error)])[0]}"
        sys.exit(0 if is_shutting_down else f"error: {problem}")
    publish(producer, args.topic, args.count, args.delay)


if __name__ == "__main__":
    main()
