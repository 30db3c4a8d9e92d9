"""Sign users up, and print whom the broker has: python producer.py"""

import argparse
import atexit
import contextlib
import logging
import os
import signal
import sys
import time

from kafka import KafkaAdminClient, KafkaProducer, errors
from kafka.admin import NewTopic

VARIABLES = """KAFKA_BOOTSTRAP_SERVERS KAFKA_SECURITY_PROTOCOL
    KAFKA_SSL_CAFILE KAFKA_SSL_CERTFILE KAFKA_SSL_KEYFILE
    KAFKA_SASL_MECHANISM KAFKA_SASL_PLAIN_USERNAME KAFKA_SASL_PLAIN_PASSWORD"""
CLUSTER = {v[6:].lower(): os.getenv(v) for v in VARIABLES.split() if os.getenv(v)}
SERVERS = CLUSTER.setdefault("bootstrap_servers", "localhost:9092")
CLUSTER.update(api_version_auto_timeout_ms=5_000, reconnect_backoff_max_ms=200)
is_shutting_down = False
waiting = {}  # not acknowledged
log = {}  # what was shown


def shut_down(*_):
    """Sign nobody else up."""
    global is_shutting_down
    is_shutting_down = True


def publish(producer, topic, count, delay):
    """Sign up `count` users, one each `delay` seconds."""
    sent = 0
    with contextlib.suppress(errors.KafkaError):
        while sent < count and not is_shutting_down:
            email = f"user{sent}@gmail.com"
            sent += 1
            waiting[email] = True
            future = producer.send(topic, email.encode(), email.encode())
            future.add_callback(confirm, email).add_errback(shut_down)
            if delay or sent % 10_000 == 0:
                producer.flush(timeout=60)
            next_at = time.monotonic() + delay
            while not is_shutting_down and time.monotonic() < next_at:
                time.sleep(min(delay, 0.1))
        producer.flush(timeout=60)
    say(f"Published {sent - len(waiting)} of {count} messages to topic {topic}")
    if waiting:
        say(f"error: not acknowledged: {', '.join(waiting)}", sys.stderr)
        os._exit(1)  # without waiting again


def confirm(email, _):
    """The broker has the message."""
    del waiting[email]
    say(f"Published message to message broker. User email: {email}")


def say(line, file=None):
    """Print a line, if it can be printed."""
    with contextlib.suppress(OSError):
        print(line, file=file, flush=True)


def once_a_minute(record):
    """Log filter: no message twice a minute."""
    if record.name.startswith("kafka"):
        record.exc_info = None
        if record.msg in log and record.created < log[record.msg].created + 60:
            return False
        log[record.msg] = record
    return True


def main():
    """Exit status: 0 all published, 1 failed, 2 bad flag."""
    parser = argparse.ArgumentParser(description=__doc__, epilog=VARIABLES)
    parser.add_argument("--topic", default="user_signups")
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--delay", type=float, default=0.1)
    parser.add_argument("--partitions", type=int, default=1)
    args = parser.parse_args()
    if args.count < 0 or args.partitions < 1 or not 0 <= args.delay <= 86_400:
        parser.error("--count: from 0, --delay: 0 to 86400, --partitions: from 1")
    for name in "SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK":
        signal.signal(getattr(signal, name, signal.SIGINT), shut_down)
    atexit.register(vars(sys).update, stdout=None, stderr=None)  # else 120
    logging.basicConfig()
    logging.getLogger().handlers[0].addFilter(once_a_minute)
    logging.disable(logging.DEBUG)  # it shows passwords
    say("starting producer")
    try:
        with contextlib.closing(KafkaAdminClient(**CLUSTER)) as admin:
            if args.topic in admin.list_topics():
                say(f"Topic {args.topic} is already created")
            else:
                with contextlib.suppress(errors.TopicAlreadyExistsError):
                    admin.create_topics([NewTopic(args.topic, args.partitions, -1)])
        producer = KafkaProducer(**CLUSTER, acks="all", enable_idempotence=True)
    except Exception as error:
        lines = [r.getMessage() for r in log.values() if r.name == "kafka.conn"]
        problem = f"cannot publish to {SERVERS}: {[*lines, repr(error)][0]}"
        sys.exit(0 if is_shutting_down else f"error: {problem}")
    publish(producer, args.topic, args.count, args.delay)


if __name__ == "__main__":
    main()
