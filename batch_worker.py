"""Handle the sign-ups of the last five seconds together.

Run `python batch_worker.py`, and press Ctrl+C while users are in the buffer: the worker
handles them, commits, and says goodbye.
"""

import argparse
import atexit
import contextlib
import logging
import os
import re
import signal
import sys
import threading
import time
from queue import SimpleQueue

from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition, errors
from kafka.structs import OffsetAndMetadata
from kafka.version import __version__

SERVERS = os.getenv("KAFKA_BOOTSTRAP_SERVERS") or "localhost:9092"
CLUSTER = {
    "bootstrap_servers": SERVERS,
    "security_protocol": os.getenv("KAFKA_SECURITY_PROTOCOL") or "PLAINTEXT",
    "sasl_mechanism": os.getenv("KAFKA_SASL_MECHANISM"),
    "sasl_plain_username": os.getenv("KAFKA_SASL_PLAIN_USERNAME"),
    "sasl_plain_password": os.getenv("KAFKA_SASL_PLAIN_PASSWORD"),
    "ssl_cafile": os.getenv("KAFKA_SSL_CAFILE"),
    "ssl_certfile": os.getenv("KAFKA_SSL_CERTFILE"),
    "ssl_keyfile": os.getenv("KAFKA_SSL_KEYFILE"),
    # Otherwise, OpenSSL would ask the terminal for the password of a locked key.
    "ssl_password": os.getenv("KAFKA_SSL_PASSWORD", ""),
    # A server that never answers takes half of this time. The default is 2 s.
    "api_version_auto_timeout_ms": 5_000,
    # A broker that returns is found at once. The default grows to 30 s.
    "reconnect_backoff_max_ms": 200,
}

is_shutting_down = False
is_rebalancing = False
emails = SimpleQueue()  # the buffer; a Queue would cost a tenth of the speed
offsets = {}  # {partition: offset to commit} of what is received and not committed yet
is_full = threading.Event()
client_lock = threading.Lock()  # held by the thread that uses the consumer
client_errors = []  # why the consumer thread ended
shown = {}  # {what kafka-python says: when it was last shown}


def shut_down(*_):
    """Signal handler. It can interrupt any line, so it only sets a flag."""
    global is_shutting_down
    is_shutting_down = True


def process_messages(users, work_seconds):
    """Welcome these users. Put your own work here."""
    say("processing message in queue buffer")
    say(f"sending email to users {users}")
    if work_seconds:
        time.sleep(work_seconds)
    say(f"updating status to Waiting Confirmation for users {users}")
    if work_seconds:
        time.sleep(work_seconds)
    say("finished processing messages")


def fill_buffer(consumer, max_batch_size):
    """Receive messages until a signal. The consumer thread runs this."""
    try:
        while not is_shutting_down:
            with client_lock:
                # A signal may have come while we waited for the lock.
                if not is_full.is_set() and not is_shutting_down:
                    receive(consumer, max_batch_size)
            time.sleep(0.0001)  # otherwise, flush() would hardly ever get the lock
    except Exception as error:
        client_errors.append(error)


def receive(consumer, max_batch_size):
    """Put what the next poll brings into the buffer, as far as it has room."""
    room = max_batch_size - emails.qsize()
    polled = consumer.poll(timeout_ms=200, max_records=room)
    if is_shutting_down:  # these messages came later: they are left to the group
        return
    for partition, messages in polled.items():
        if is_rebalancing:  # they may be another worker's by now (see Rebalance)
            raise errors.RebalanceInProgressError("start this worker again")
        line = "received a message, inserting into a queue buffer"
        say("\n".join([line] * len(messages)))  # one line for each of them
        for message in messages:
            email = read_email(partition, message)
            if email:
                emails.put(email)
        last = messages[-1]
        offsets[partition] = OffsetAndMetadata(last.offset + 1, "", -1)
    if emails.qsize() >= max_batch_size:
        is_full.set()


def consume(consumer, thread, interval, work_seconds):
    """Flush the buffer every `interval` seconds, or when it is full, until a signal."""
    next_flush = time.monotonic() + interval
    while not is_shutting_down and thread.is_alive():
        if is_full.wait(timeout=0.1):
            flush(consumer, "the buffer is full", work_seconds)
        elif time.monotonic() > next_flush:
            flush(consumer, f"every {interval:g} s", work_seconds)
        else:
            continue
        next_flush = time.monotonic() + interval
    thread.join()  # from here on, nobody polls
    flush(consumer, "shutting down", work_seconds)


def flush(consumer, why, work_seconds):
    """Handle the buffer. Meanwhile nobody polls, so no partition is given up."""
    with client_lock:
        users = drain()
        if users:
            say(f"flushing {len(users)} users: {why}")
            process_messages(users, work_seconds)
        commit(consumer)


def drain():
    """Empty the buffer into a list."""
    users = [emails.get() for _ in range(emails.qsize())]
    is_full.clear()
    return users


def drop_buffer():
    """Forget the buffer: whoever reads on begins at the committed offset."""
    users = drain()
    if users:
        say(f"rebalance: {len(users)} messages are left to the group")


def commit(consumer):
    """Commit after the work: a crash repeats it, but loses nobody.

    It waits for a broker that is away, but after a signal only for one more try.
    """
    while offsets:
        is_last_try = is_shutting_down  # a signal during this try allows one more
        try:
            # A copy, because kafka-python reads it again if the answer comes late.
            consumer.commit(dict(offsets), timeout_ms=5_000)
            offsets.clear()
        except errors.KafkaTimeoutError as error:  # the broker is away
            if is_last_try:
                give_up(error)
        except errors.CommitFailedError as error:  # the group went on without us
            if is_shutting_down:
                give_up(error)
            logging.warning("not committed, will be handled again: %s", offsets)
            offsets.clear()
        except Exception as error:
            give_up(error)


def give_up(error):
    """End with status 1. The next worker begins at the committed offset."""
    problem = f"error: not committed, will be handled again: {offsets}: {error!r}"
    offsets.clear()
    sys.exit(problem)


# From here on: what every worker needs. Most of it is the same in both.
class Rebalance(ConsumerRebalanceListener):
    """What happens when the group shares its partitions out anew.

    kafka-python calls on_partitions_revoked and, later, on_partitions_assigned, each in
    a poll. In between, no partition is this worker's. kafka-python 2.3 may forget that,
    and hand out messages nevertheless, but is_rebalancing remembers it. `let_go` is
    called first: the streaming worker commits, the batch worker drops its buffer.
    """

    def __init__(self, consumer, topic, let_go):
        self.consumer, self.topic, self.let_go = consumer, topic, let_go
        self.known_partitions = None

    def on_partitions_revoked(self, revoked):
        """End what was begun, before the partitions get new owners."""
        global is_rebalancing
        is_rebalancing = True
        try:
            self.let_go()
        finally:
            offsets.clear()  # the next worker begins at the committed offset
        self.join_anew_if_partitions_were_added()

    def join_anew_if_partitions_were_added(self):
        """Otherwise, kafka-python 2.3 may never join the group again (KAFKA-9815)."""
        partitions = self.consumer.partitions_for_topic(self.topic)
        if partitions != self.known_partitions:
            self.known_partitions = partitions
            self.consumer.unsubscribe()
            self.consumer.subscribe([self.topic], listener=self)

    def on_partitions_assigned(self, assigned):
        """Begin at the committed offsets, and say what this worker reads now."""
        global is_rebalancing
        for partition in assigned:
            self.begin_at_committed_offset(partition)
        is_rebalancing = False
        numbers = sorted(partition.partition for partition in assigned)
        say(f"partitions: {numbers or 'none, waiting'}")

    def begin_at_committed_offset(self, partition):
        """By itself, kafka-python 2.3 may begin where an answer of long ago says."""
        while not is_shutting_down:
            try:
                offset = self.consumer.committed(partition, timeout_ms=5_000)
            except errors.KafkaTimeoutError:  # the broker is away
                continue
            if offset is None:
                self.consumer.seek_to_beginning(partition)
            else:
                self.consumer.seek(partition, offset)
            return


def read_email(partition, message):
    """Return the email in a message. If it has none, log that, and return None."""
    # What is not UTF-8 becomes characters that cannot be printed.
    email = (message.value or b"").decode(errors="surrogateescape")
    if email.strip() and email.isprintable():  # others may command the terminal
        return email
    logging.warning("skipped %s offset %d: not an email", partition, message.offset)
    return None


def connect(topic, group):
    """Return a consumer of `topic` in `group`. It raises what kafka-python raises."""
    consumer = KafkaConsumer(
        **CLUSTER,
        group_id=group,
        # By default, it commits what it has handed out, whether or not it is done.
        enable_auto_commit=False,
        # By default, a new group misses all users who signed up before it started.
        auto_offset_reset="earliest",
        # By default, users of a transaction that was rolled back are emailed, too.
        isolation_level="read_committed",
        # By default, kafka-python waits 305 s for the answer to a log-in.
        request_timeout_ms=30_000,
        # By default, work of more than 5 minutes is repeated for ever.
        max_poll_interval_ms=15 * 60_000,
        # By default, added partitions may go unnoticed for 5 minutes.
        metadata_max_age_ms=10_000,
        # By default, an answer of more than 1 MB is an error.
        receive_message_max_bytes=100_000_000,
    )
    listener = Rebalance(consumer, topic, let_go=drop_buffer)
    consumer.subscribe([topic], listener=listener)
    # Ask something now: a wrong password or a missing right shows at the start.
    consumer.committed(TopicPartition(topic, 0), timeout_ms=8_000)
    # It says when an offset is out of range: users may be skipped, or come again.
    logging.getLogger("kafka.consumer.fetcher").setLevel(logging.INFO)
    return consumer


def say(line):
    """Print a line. If that fails, the line is lost, and the work goes on."""
    with contextlib.suppress(OSError, ValueError):
        print(line, flush=True)


def forget_output():
    """Exit handler. Python would fail to flush a closed pipe, with status 120."""
    sys.stdout = None
    sys.stderr = None


def set_up_logging():
    """Let kafka-python say what is wrong, on the standard error."""
    handler = logging.StreamHandler()
    handler.addFilter(once_a_minute)
    logging.basicConfig(handlers=[handler])
    logging.disable(logging.DEBUG)  # the debug lines of kafka-python hold passwords


def once_a_minute(record):
    """Log filter: in an outage, kafka-python says the same 15 times a second."""
    if not record.name.startswith("kafka") or record.levelno < logging.WARNING:
        return True
    error = record.exc_info and record.exc_info[1]
    if isinstance(error, (errors.KafkaError, OSError)):
        record.exc_info = None  # only the traceback of a mistake tells more
    text = re.sub(r"[\d.]+ (ms|secs|attempts)", "", record.getMessage())
    if record.created < shown.get(text, 0) + 60:
        return False
    shown[text] = record.created
    return True


def handle_signals(handler):
    """Handle each signal that asks to stop. What nohup ignores stays ignored."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number and signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handler)


def read_flags():
    """Return the flags. A bad one ends the program with status 2."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        epilog="Environment: KAFKA_BOOTSTRAP_SERVERS, KAFKA_SECURITY_PROTOCOL, "
        "KAFKA_SASL_MECHANISM, KAFKA_SASL_PLAIN_USERNAME, KAFKA_SASL_PLAIN_PASSWORD, "
        "KAFKA_SSL_CAFILE, KAFKA_SSL_CERTFILE, KAFKA_SSL_KEYFILE, KAFKA_SSL_PASSWORD",
    )
    parser.add_argument("--topic", default="user_signups", help="topic to read")
    parser.add_argument("--group", default="group1", help="consumer group to join")
    parser.add_argument(
        "--work-seconds", type=float, default=0.5, help="seconds of each of two steps"
    )
    parser.add_argument(
        "--interval", type=float, default=5, help="seconds between two flushes"
    )
    parser.add_argument(
        "--max-batch-size",
        type=int,
        default=500,
        help="number of users that make the buffer full: it is flushed at once",
    )
    args = parser.parse_args()
    if not 0 <= args.work_seconds <= 86_400:
        parser.error("--work-seconds is not between 0 and 86400 seconds")
    if not 0 <= args.interval <= 86_400:
        parser.error("--interval is not between 0 and 86400 seconds")
    if args.max_batch_size < 1:
        parser.error("--max-batch-size is not 1 or more")
    return args


def main():
    """Run the worker. Exit status: 0 stopped, 1 failed, 2 bad flag."""
    args = read_flags()
    if not __version__.startswith("2.3."):
        sys.exit("error: kafka-python 2.3 is needed: pip install -r requirements.txt")
    handle_signals(shut_down)
    atexit.register(forget_output)
    set_up_logging()
    say("starting batch consumer worker")
    try:
        consumer = connect(args.topic, args.group)
    except Exception as error:
        sys.exit(f"error: cannot read from {SERVERS}: {error!r}")
    say(f"waiting for messages in {args.topic} as {args.group}: press Ctrl+C to stop")
    thread = threading.Thread(
        target=fill_buffer, args=(consumer, args.max_batch_size), daemon=True
    )
    thread.start()
    try:
        consume(consumer, thread, args.interval, args.work_seconds)
    except SystemExit as end:
        is_ours = isinstance(end.code, str)
        sys.exit(end.code if is_ours else "error: the work called sys.exit()")
    finally:
        shut_down()  # so that the consumer thread ends, too
        with client_lock, contextlib.suppress(Exception):  # the work is committed
            logging.disable()  # kafka-python would report what close() cancels
            consumer.close(timeout_ms=2_000)
        handle_signals(signal.SIG_IGN)  # Python takes our handler away when it ends
    if client_errors:
        sys.exit(f"error: cannot read from {SERVERS}: {client_errors[0]!r}")
    say("End of the program. I was killed gracefully")


if __name__ == "__main__":
    main()
