"""Handle sign-ups one at a time, as they come: python streaming_worker.py
Press Ctrl+C in the middle of a user: it finishes that user and stops.
"""

import argparse
import atexit
import contextlib
import logging
import os
import signal
import sys
import time

from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition, errors
from kafka.structs import OffsetAndMetadata

VARIABLES = """KAFKA_BOOTSTRAP_SERVERS KAFKA_SECURITY_PROTOCOL
    KAFKA_SSL_CAFILE KAFKA_SSL_CERTFILE KAFKA_SSL_KEYFILE
    KAFKA_SASL_MECHANISM KAFKA_SASL_PLAIN_USERNAME KAFKA_SASL_PLAIN_PASSWORD"""
CLUSTER = {v[6:].lower(): os.getenv(v) for v in VARIABLES.split() if os.getenv(v)}
SERVERS = CLUSTER.setdefault("bootstrap_servers", "localhost:9092")
CLUSTER.update(api_version_auto_timeout_ms=5_000, reconnect_backoff_max_ms=200)
is_shutting_down = False
offsets = {}  # to commit
log = {}  # what was shown


def shut_down(*_):
    """Signal handler. It can interrupt any line, so it only sets a flag."""
    global is_shutting_down
    is_shutting_down = True


def process_message(email, work_seconds):
    """Welcome one user. Put your own work here."""
    say(f"sending email to {email}")
    if work_seconds:
        time.sleep(work_seconds)
    say(f"updating user {email} status to Waiting Confirmation")
    if work_seconds:
        time.sleep(work_seconds)
    say("finished processing message")


def consume(consumer, work_seconds):
    """Handle one message after the other, until a signal."""
    while not is_shutting_down:
        commit_at = time.monotonic() + 0.01  # quick messages share a commit
        for message in consumer:  # ends after 0.2 seconds without a message
            partition = TopicPartition(message.topic, message.partition)
            try:
                email = message.value.decode()
            except (AttributeError, UnicodeDecodeError):  # null, or not UTF-8
                email = ""
            if email:
                process_message(email, work_seconds)
            else:
                logging.warning(f"skipped {partition} offset {message.offset}: no text")
            offsets[partition] = OffsetAndMetadata(message.offset + 1, "", -1)
            if is_shutting_down or time.monotonic() > commit_at:
                break
        commit(consumer)


def commit(consumer):
    """Commit after the work: a crash repeats it, but loses nobody."""
    while offsets:
        try:
            consumer.commit(offsets, timeout_ms=5_000)
            offsets.clear()
        except errors.KafkaError as error:
            problem = f"not committed, will be handled again: {offsets}"
            if is_shutting_down or isinstance(error, errors.AuthorizationError):
                offsets.clear()  # one try is enough
                sys.exit(f"error: {problem}")
            if not isinstance(error, errors.KafkaTimeoutError):
                logging.warning(problem)
                offsets.clear()


class Rebalance(ConsumerRebalanceListener):
    def __init__(self, consumer, topic):
        self.consumer, self.topic, self.partitions = consumer, topic, None

    def on_partitions_revoked(self, revoked):
        commit(self.consumer)  # the next worker starts at the committed offset
        partitions = self.consumer.partitions_for_topic(self.topic)
        if partitions != self.partitions:
            self.partitions = partitions
            self.consumer.unsubscribe()  # or KAFKA-9815 loses this join
            self.consumer.subscribe([self.topic], listener=self)

    def on_partitions_assigned(self, assigned):
        say(f"partitions: {sorted(p.partition for p in assigned) or 'none, waiting'}")


def say(line):
    """Print a line. If that fails, the work goes on without it."""
    with contextlib.suppress(OSError):
        print(line.encode("unicode_escape").decode(), flush=True)


def once_a_minute(record):
    """Log filter: kafka-python says nothing twice a minute."""
    if record.name.startswith("kafka") and record.levelno > logging.INFO:
        record.exc_info = None  # no traceback
        if record.msg in log and record.created < log[record.msg].created + 60:
            return False
        log[record.msg] = record
    return record.levelno > logging.INFO or not is_shutting_down


def connect(topic, group):
    """Return a consumer of `topic` in `group`."""
    consumer = KafkaConsumer(
        **CLUSTER,
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        max_poll_records=1,
        consumer_timeout_ms=200,
        session_timeout_ms=10_000,
        request_timeout_ms=30_000,
        max_poll_interval_ms=15 * 60_000,
        metadata_max_age_ms=10_000,
        receive_message_max_bytes=100_000_000,
    )
    consumer.subscribe([topic], listener=Rebalance(consumer, topic))
    consumer.committed(TopicPartition(topic, 0), timeout_ms=8_000)
    return consumer


def main():
    """Exit status: 0 stopped, 1 failed, 2 bad flag."""
    parser = argparse.ArgumentParser(description=__doc__, epilog=VARIABLES)
    parser.add_argument("--topic", default="user_signups")
    parser.add_argument("--group", default="group1")
    parser.add_argument("--work-seconds", type=float, default=0.5)
    args = parser.parse_args()
    if not 0 <= args.work_seconds <= 86_400:
        parser.error("--work-seconds: 0 to 86400")
    for name in "SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK":
        signal.signal(getattr(signal, name, signal.SIGINT), shut_down)
    atexit.register(vars(sys).update, stdout=None, stderr=None)  # else 120
    logging.basicConfig()
    logging.getLogger().handlers[0].addFilter(once_a_minute)
    logging.getLogger("kafka.consumer.fetcher").setLevel("INFO")
    logging.disable(logging.DEBUG)  # it shows passwords
    say("starting streaming consumer worker")
    try:
        consumer = connect(args.topic, args.group)
    except Exception as error:
        lines = [r.getMessage() for r in log.values() if r.name == "kafka.conn"]
        problem = f"cannot read from {SERVERS}: {[*lines, repr(error)][0]}"
        sys.exit(0 if is_shutting_down else f"error: {problem}")
    say(f"waiting for messages in {args.topic} as {args.group}: press Ctrl+C to stop")
    try:
        consume(consumer, args.work_seconds)
    except errors.KafkaError as error:
        sys.exit(f"error: cannot read from {SERVERS}: {error!r}")
    finally:
        commit(consumer)
        with contextlib.suppress(Exception):  # the work is committed
            consumer.close(timeout_ms=2_000)
    say("End of the program. I was killed gracefully")


if __name__ == "__main__":
    main()
