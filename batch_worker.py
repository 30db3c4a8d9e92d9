"""Handle the sign-ups of 5 seconds together: python batch_worker.py
Press Ctrl+C while users are in the buffer: it handles them and stops.
"""

import argparse
import atexit
import contextlib
import logging
import os
import signal
import sys
import threading
import time
from queue import Queue

from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition, errors
from kafka.structs import OffsetAndMetadata

VARIABLES = """KAFKA_BOOTSTRAP_SERVERS KAFKA_SECURITY_PROTOCOL
    KAFKA_SSL_CAFILE KAFKA_SSL_CERTFILE KAFKA_SSL_KEYFILE
    KAFKA_SASL_MECHANISM KAFKA_SASL_PLAIN_USERNAME KAFKA_SASL_PLAIN_PASSWORD"""
CLUSTER = {v[6:].lower(): os.getenv(v) for v in VARIABLES.split() if os.getenv(v)}
SERVERS = CLUSTER.setdefault("bootstrap_servers", "localhost:9092")
CLUSTER.update(api_version_auto_timeout_ms=5_000, reconnect_backoff_max_ms=200)
is_shutting_down = False
emails = Queue()  # lists of emails and None
offsets = {}  # to commit
is_full = threading.Event()
client_lock = threading.Lock()
log = {}  # what was shown


def shut_down(*_):
    """Signal handler. It can interrupt any line, so it only sets a flag."""
    global is_shutting_down
    is_shutting_down = True


def process_messages(users, work_seconds):
    """Welcome these users. Put your own work here."""
    say("processing message in queue buffer")
    for step in "sending email to", "updating status to Waiting Confirmation for":
        say(f"{step} users {users!a}")
        if work_seconds:
            time.sleep(work_seconds)
    say("finished processing messages")


class Consumer(threading.Thread, ConsumerRebalanceListener):
    def __init__(self, consumer, topic, limit):
        super().__init__(daemon=True)
        self.consumer, self.topic, self.limit = consumer, topic, limit
        self.partitions = self.error = None

    def run(self):  # fills the buffer
        try:
            while not is_shutting_down:
                with client_lock:
                    if not is_full.is_set():
                        self.receive()
                time.sleep(0.0001)  # flush() gets the lock
        except Exception as error:
            self.error = error

    def receive(self):
        room = self.limit - sum(map(len, emails.queue))
        for partition, messages in self.consumer.poll(200, room).items():
            line = "received a message, inserting into a queue buffer"
            say("\n".join([line] * len(messages)))
            emails.put([decode(partition, message) for message in messages])
            offsets[partition] = OffsetAndMetadata(messages[-1].offset + 1, "", -1)
            room -= len(messages)
        if room == 0:
            is_full.set()

    def on_partitions_revoked(self, revoked):
        if users := drain():
            say(f"rebalance: {len(users)} messages are left to the group")
        offsets.clear()  # the next worker starts at the committed offset
        partitions = self.consumer.partitions_for_topic(self.topic)
        if partitions != self.partitions:
            self.partitions = partitions
            self.consumer.unsubscribe()  # or KAFKA-9815 loses this join
            self.consumer.subscribe([self.topic], listener=self)

    def on_partitions_assigned(self, assigned):
        say(f"partitions: {sorted(p.partition for p in assigned) or 'none, waiting'}")


def drain():
    """Empty the buffer into a list."""
    is_full.clear()
    return [email for _ in range(emails.qsize()) for email in emails.get() if email]


def flush(consumer, why, work_seconds):
    """Handle the buffer. Nobody polls, so no partition moves."""
    with client_lock:
        if users := drain():
            say(f"flushing {len(users)} users: {why}")
            process_messages(users, work_seconds)
        commit(consumer)


def consume(thread, interval, work_seconds):
    """Flush every `interval` seconds, or when full."""
    next_flush = time.monotonic() + interval
    while not is_shutting_down and thread.is_alive():
        if is_full.wait(0.1) or time.monotonic() > next_flush:
            why = "the buffer is full" if is_full.is_set() else f"every {interval:g} s"
            flush(thread.consumer, why, work_seconds)
            next_flush = time.monotonic() + interval
    thread.join()  # the last poll is over
    flush(thread.consumer, "shutting down", work_seconds)


def commit(consumer):
    """Commit after the work: a crash repeats it, but loses nobody."""
    while offsets:
        try:
            consumer.commit(offsets, timeout_ms=5_000)
            offsets.clear()
        except errors.KafkaError as error:
            problem = f"not committed, will be handled again: {offsets}"
            if is_shutting_down or isinstance(error, errors.AuthorizationError):
                sys.exit(f"error: {problem}")
            if not isinstance(error, errors.KafkaTimeoutError):
                logging.warning(problem)
                offsets.clear()


def decode(partition, message):
    """Return the email in a message, or None."""
    try:
        return (message.value or b"\xff").decode()  # empty: no text
    except UnicodeDecodeError:
        logging.warning(f"skipped {partition} offset {message.offset}: no text")


def say(line):
    """Print a line. If that fails, the work goes on without it."""
    with contextlib.suppress(OSError, ValueError):
        print(line, flush=True)


def once_a_minute(record):
    """Log filter: kafka-python says nothing twice a minute."""
    if record.name.startswith("kafka") and record.levelno > logging.INFO:
        record.exc_info = None  # no traceback
        if record.msg in log and record.created < log[record.msg].created + 60:
            return False
        log[record.msg] = record
    return record.levelno > logging.INFO or not is_shutting_down


def connect(topic, group, limit):
    """Return a consumer thread."""
    consumer = KafkaConsumer(
        **CLUSTER,
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        session_timeout_ms=10_000,
        request_timeout_ms=30_000,
        max_poll_interval_ms=15 * 60_000,
        metadata_max_age_ms=10_000,
        receive_message_max_bytes=100_000_000,
    )
    thread = Consumer(consumer, topic, limit)
    consumer.subscribe([topic], listener=thread)
    consumer.committed(TopicPartition(topic, 0), timeout_ms=8_000)
    return thread


def main():
    """Exit status: 0 stopped, 1 failed, 2 bad flag."""
    parser = argparse.ArgumentParser(description=__doc__, epilog=VARIABLES)
    parser.add_argument("--topic", default="user_signups")
    parser.add_argument("--group", default="group1")
    parser.add_argument("--work-seconds", type=float, default=0.5)
    parser.add_argument("--interval", type=float, default=5)
    parser.add_argument("--max-batch-size", type=int, default=500)
    args = parser.parse_args()
    seconds = args.work_seconds, args.interval
    if args.max_batch_size < 1 or not all(0 <= s <= 86_400 for s in seconds):
        parser.error("--work-seconds, --interval: 0 to 86400; --max-batch-size: over 0")
    for name in "SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK":
        signal.signal(getattr(signal, name, signal.SIGINT), shut_down)
    atexit.register(vars(sys).update, stdout=None, stderr=None)  # else 120
    logging.basicConfig()
    logging.getLogger().handlers[0].addFilter(once_a_minute)
    logging.getLogger("kafka.consumer.fetcher").setLevel("INFO")
    logging.disable(logging.DEBUG)  # it shows passwords
    say("starting batch consumer worker")
    try:
        thread = connect(args.topic, args.group, args.max_batch_size)
    except Exception as error:
        lines = [r.getMessage() for r in log.values() if r.name == "kafka.conn"]
        problem = f"cannot read from {SERVERS}: {[*lines, repr(error)][0]}"
        sys.exit(0 if is_shutting_down else f"error: {problem}")
    say(f"waiting for messages in {args.topic} as {args.group}: press Ctrl+C to stop")
    thread.start()
    try:
        consume(thread, args.interval, args.work_seconds)
    finally:
        with client_lock, contextlib.suppress(Exception):
            thread.consumer.close(timeout_ms=2_000)
    if thread.error:
        sys.exit(f"error: cannot read from {SERVERS}: {thread.error!r}")
    say("End of the program. I was killed gracefully")


if __name__ == "__main__":
    main()
