"""Handle sign-ups one at a time, as they come.

Run `python streaming_worker.py`, and press Ctrl+C in the middle of a user: the worker
finishes that user, commits, and says goodbye.
"""

import argparse
import atexit
import contextlib
import logging
import os
import signal
import sys
import time
import traceback

from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition, errors
from kafka.structs import OffsetAndMetadata

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
    # Without a password, OpenSSL would ask for one at every connection.
    "ssl_password": os.getenv("KAFKA_SSL_PASSWORD", ""),
    # One server in the list may never answer. The default of 2 s is too short then.
    "api_version_auto_timeout_ms": 5_000,
    # A broker that returns is found at once. The default grows to 30 s.
    "reconnect_backoff_max_ms": 200,
}

is_shutting_down = False
is_rebalancing = False
offsets = {}  # {partition: offset to commit} of what is done and not committed yet
shown = {}  # {message of kafka-python: when it was last shown}


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
        for message in receive(consumer):  # ends after 0.2 seconds without a message
            partition = TopicPartition(message.topic, message.partition)
            email = read_email(partition, message)
            if email:
                process_message(email, work_seconds)
            offsets[partition] = OffsetAndMetadata(message.offset + 1, "", -1)
            if is_shutting_down or time.monotonic() > commit_at:
                break
        commit(consumer)


def receive(consumer):
    """Hand out messages. A client that cannot go on ends the worker with status 1."""
    try:
        for message in consumer:
            if is_rebalancing:  # it may be another worker's by now: see Rebalance
                raise errors.RebalanceInProgressError("start this worker again")
            yield message
    except Exception as error:
        sys.exit(f"error: cannot read from {SERVERS}: {error!r}")


def commit(consumer):
    """Commit after the work: a crash repeats it, but loses nobody.

    A broker that is away is waited for, but after a signal only for 5 seconds.
    """
    while offsets:
        is_last_try = is_shutting_down
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


class Rebalance(ConsumerRebalanceListener):
    """What happens when the group shares its partitions out anew.

    kafka-python calls both methods in a poll, and between the two calls no partition is
    this worker's. kafka-python 2.3 may forget that a rebalance is under way, and hand
    out messages nevertheless: is_rebalancing remembers it. `let_go` says what to do
    with what was begun.
    """

    def __init__(self, consumer, topic, let_go):
        self.consumer = consumer
        self.topic = topic
        self.let_go = let_go
        self.known_partitions = None

    def on_partitions_revoked(self, revoked):
        """End what was begun, before the partitions get new owners."""
        global is_rebalancing
        is_rebalancing = True
        try:
            self.let_go()
        finally:
            offsets.clear()  # the next worker starts at the committed offset
        self.join_anew_if_partitions_were_added()

    def join_anew_if_partitions_were_added(self):
        """Leave the group and join it as a new member.

        If partitions are added, kafka-python 2.3 forgets its join (KAFKA-9815). A new
        member has no join to forget.
        """
        partitions = self.consumer.partitions_for_topic(self.topic)
        if partitions != self.known_partitions:
            self.known_partitions = partitions
            self.consumer.unsubscribe()
            self.consumer.subscribe([self.topic], listener=self)

    def on_partitions_assigned(self, assigned):
        """Say what this worker reads from now on."""
        global is_rebalancing
        is_rebalancing = False
        numbers = sorted(partition.partition for partition in assigned)
        say(f"partitions: {numbers or 'none, waiting'}")


def read_email(partition, message):
    """Return the email in a message, or None if it has none, which is logged.

    Control characters could give orders to the terminal, so no email has them.
    """
    try:
        email = (message.value or b"").decode()
    except UnicodeDecodeError:
        email = ""
    if email.strip() and email.isprintable():
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
        # One record for each poll, because a rebalance can only happen in a poll.
        max_poll_records=1,
        # By default, the loop waits for the next message, and does not see the flag.
        consumer_timeout_ms=200,
        # By default, one partition may hold up the others with 1 MB of its messages.
        max_partition_fetch_bytes=16_384,
        # By default, a new worker waits 45 s for the partitions of one that crashed.
        session_timeout_ms=10_000,
        # By default, a log-in without an answer is waited for 305 s.
        request_timeout_ms=30_000,
        # By default, work of more than 5 minutes is repeated for ever.
        max_poll_interval_ms=15 * 60_000,
        # By default, added partitions are noticed after 5 minutes.
        metadata_max_age_ms=10_000,
        # By default, an answer of more than 1 MB is an error.
        receive_message_max_bytes=100_000_000,
    )
    listener = Rebalance(consumer, topic, let_go=lambda: commit(consumer))
    consumer.subscribe([topic], listener=listener)
    # A first question, to learn now whether we can log in, and may read.
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
    """Log filter: a warning of kafka-python is shown once a minute, without traceback.

    In an outage, there are 15 of them a second.
    """
    if not record.name.startswith("kafka") or record.levelno < logging.WARNING:
        return True
    record.exc_info = None
    last_time = shown.get(record.msg, 0)
    if record.created < last_time + 60:
        return False
    shown[record.msg] = record.created
    return True


def handle_signals(handler):
    """Let `handler` have each signal that asks a program to stop."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"):
        if hasattr(signal, name):  # Windows has no SIGHUP, others have no SIGBREAK
            signal.signal(getattr(signal, name), handler)


def seconds(text):
    """Return the seconds in the text of a flag, up to a day."""
    value = float(text)
    if not 0 <= value <= 86_400:
        raise argparse.ArgumentTypeError(f"{text} is not within 0 and 86400 seconds")
    return value


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
        "--work-seconds",
        type=seconds,
        default=0.5,
        help="seconds that each of the two pretended steps takes",
    )
    return parser.parse_args()


def main():
    """Run the worker. Exit status: 0 stopped, 1 failed, 2 bad flag."""
    args = read_flags()
    handle_signals(shut_down)
    atexit.register(forget_output)
    set_up_logging()
    say("starting streaming consumer worker")
    try:
        consumer = connect(args.topic, args.group)
    except errors.KafkaConfigurationError:  # kafka-python 3 has other settings
        sys.exit("error: kafka-python 2.3 is needed: pip install -r requirements.txt")
    except Exception as error:
        sys.exit(f"error: cannot read from {SERVERS}: {error!r}")
    say(f"waiting for messages in {args.topic} as {args.group}: press Ctrl+C to stop")
    try:
        consume(consumer, args.work_seconds)
    except Exception:  # of the work: it is shown before the commit, which may wait
        traceback.print_exc()
        sys.exit(1)
    finally:
        logging.disable(logging.INFO)  # kafka-python tells what close() cancels
        shut_down()  # so that the last commit does not wait for ever
        commit(consumer)
        with contextlib.suppress(Exception):  # the work is committed
            consumer.close(timeout_ms=2_000)
        handle_signals(signal.SIG_IGN)  # at its end, Python takes our handler away
    say("End of the program. I was killed gracefully")


if __name__ == "__main__":
    main()
