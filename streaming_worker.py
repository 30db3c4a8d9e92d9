"""Streaming worker: handle each sign-up as it comes, one message at a time.

    python streaming_worker.py      and, in another terminal:      python producer.py

You will see each user emailed and moved to 'Waiting Confirmation'. Press Ctrl+C in the middle of
one, as often as you like: that user is finished and committed, and the next is not begun.
"""

import argparse
import io
import logging
import math
import os
import re
import signal
import sys
import time

from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition, errors
from kafka.structs import MemberState, OffsetAndMetadata

SETTINGS = (
    "KAFKA_BOOTSTRAP_SERVERS KAFKA_SECURITY_PROTOCOL KAFKA_SASL_MECHANISM "
    "KAFKA_SASL_PLAIN_USERNAME KAFKA_SASL_PLAIN_PASSWORD KAFKA_SSL_CAFILE"
)
HINTS = {  # what kafka-python's log says of a connection that failed: what to check
    r"REFUSED|DNS|int\(\)": "no broker there, check host, port and the address it advertises",
    r"Sasl|version=\(": "authentication failed, check KAFKA_SASL_ mechanism, username, password",
    "CERTIFICATE|X509|Errno 2": "certificate not trusted, check KAFKA_SSL_CAFILE",
    "frame|SSL|socket": "not the protocol of that port, check KAFKA_SECURITY_PROTOCOL",
}
COMMIT_SECONDS = 0.01  # messages that take less share a commit, and a crash repeats them
# For a leader that the cluster has just dropped, poll() of kafka-python 3.0 raises and loses what
# it has taken. So that it asks again instead, as for a broker that is not ready:
errors.UnknownBrokerIdError = errors.NodeNotReadyError

is_shutting_down = False
trouble = ""  # what keeps messages away


def shut_down(*_):
    """Signal handler: ask for a stop, nothing else. Whoever holds work finishes it first."""
    global is_shutting_down
    is_shutting_down = True


def say(line, stream=None):
    """Print a line at once. Output that is gone (tee, terminal) asks for a stop, never raises."""
    try:
        print(line, file=stream)
    except OSError:
        shut_down()
        os.dup2(os.open(os.devnull, os.O_WRONLY), (stream or sys.stdout).fileno())


def tell(now):
    """Say once what keeps messages away, and once that it is over."""
    global trouble
    if now != trouble:
        say(f"warning: {now}: waiting" if now else "back again: going on", sys.stderr)
        trouble = now


def pretend_to_work(seconds):
    """Take `seconds`, where a real worker would call its mail server or its database."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        was_shutting_down = is_shutting_down
        time.sleep(min(left, 0.1))
        if is_shutting_down and not was_shutting_down:
            say("shutting down: finishing this message first")


def process_message(email, work_seconds):
    """Welcome one user, in two steps of `work_seconds`. Whatever it raises stops the worker."""
    shown = repr(email)[1:-1]  # content is data: a terminal would obey its control characters
    say(f"sending email to {shown}")
    pretend_to_work(work_seconds)
    say(f"updating user {shown} status to Waiting Confirmation")
    pretend_to_work(work_seconds)
    say("finished processing message")


def place(record):
    """Return where a record is, in words."""
    return f"{record.topic} partition {record.partition} offset {record.offset}"


def read(record):
    """Return the email address that a record holds; say so if it holds none, and return None."""
    try:
        if record.value:
            return record.value.decode()
    except UnicodeDecodeError:
        pass
    say(f"warning: skipped {place(record)}: not an email address in UTF-8", sys.stderr)


def commit(consumer, done):
    """Commit the records that are done; return once the broker has it.

    At-least-once: the commit follows the work, so a crash in between repeats a message and loses
    none. A stop gives the broker some 5 seconds; without its answer the exit status is 1.
    """
    deadline = time.monotonic() + 5
    first = {record.partition: record for record in reversed(done)}
    last = {record.partition: record for record in done}
    where = ", ".join(map(place, first.values()))
    offsets = {
        TopicPartition(record.topic, partition): OffsetAndMetadata(record.offset + 1)
        for partition, record in last.items()
    }
    while True:
        try:
            consumer.commit(offsets, timeout_ms=3_000)
            return tell("")
        except errors.KafkaError as error:
            outcome = f"not committed, will be handled again: {where} ({error})"
            # Refused: the group went on without us. Anything else may pass.
            refused = isinstance(error, (errors.CommitFailedError, errors.RebalanceInProgressError))
            if is_shutting_down and (refused or time.monotonic() > deadline):
                sys.exit(f"error: {outcome}")
            if refused:
                return say(f"warning: {outcome}", sys.stderr)
            if not trouble:
                tell(f"lost the broker, or it refuses: not committed yet: {where} ({error})")
            time.sleep(0.2)


def handle(consumer, polled, work_seconds):
    """Handle messages one after the other, until a signal or for COMMIT_SECONDS, and commit.

    The rest is handed back: it was not begun. Return how long that took, in seconds.
    """
    started_at, done = time.monotonic(), []
    try:
        for partition, records in polled.items():
            for record in records:
                if is_shutting_down or time.monotonic() > started_at + COMMIT_SECONDS:
                    consumer.seek(partition, record.offset)
                    break
                if email := read(record):
                    process_message(email, work_seconds)
                done.append(record)
    finally:  # of those before one that raises, nobody is emailed again
        took = time.monotonic() - started_at
        if done:
            commit(consumer, done)
    return took


def consume(consumer, work_seconds):
    """Poll and handle messages until a signal."""
    empty_polls, room = 0, 1
    while not is_shutting_down:
        # No poll() between the work and its commit: only inside poll() kafka-python gives a
        # partition to another worker. So poll no more than are done soon: one, if it takes long.
        try:
            polled = consumer.poll(timeout_ms=200, max_records=room)
        except errors.RetriableError:  # seen in an outage; raised before any record is taken
            polled = {}
        took = handle(consumer, polled, work_seconds)
        if polled:
            room = min(500, 2 * room) if took < COMMIT_SECONDS / 2 else max(1, room // 2)
        empty_polls = 0 if polled else empty_polls + 1
        if trouble or empty_polls:
            check(consumer, empty_polls)


def check(consumer, empty_polls):
    """Look for what keeps messages away. Raise an error if we have no right to them."""
    if consumer._cluster.unauthorized_topics:  # kafka-python only logs it, and waits
        raise errors.TopicAuthorizationFailedError(*consumer._cluster.unauthorized_topics)
    has_nothing = empty_polls > 5 and not consumer.assignment()
    if not any(broker.connected for broker in list(consumer._manager._conns.values())):
        tell("lost the broker")
    elif has_nothing and consumer.group_metadata().state == MemberState.STABLE:
        tell("no partition to read (no such topic, or other workers have them all)")
    else:
        tell("")


class Rebalance(ConsumerRebalanceListener):
    """Lets partitions go, and makes up for three bugs of kafka-python 3.0."""

    def __init__(self, consumer):
        self.coordinator = consumer._coordinator

    def on_partitions_revoked(self, revoked):
        """Keep no position: who is given a partition begins at its committed offset.

        Others may read it meanwhile. kafka-python alone goes on at its old position, or at the
        answer to an older question for the offset; the Java client forgets both, too.
        """
        self.coordinator._subscription.assign_from_subscribed([])
        self.coordinator._offset_fetch_futures.clear()
        self.coordinator.request_rejoin()  # a join that outlasts a poll() is forgotten (KAFKA-9815)

    def on_partitions_assigned(self, assigned):
        """Nothing to do: poll() asks for the committed offsets."""


def cluster():
    """Return what kafka-python is told of the cluster, from the environment. End if it is wrong."""
    told = {"bootstrap_servers": "localhost:9092", "security_protocol": "PLAINTEXT"}
    for name in SETTINGS.split():
        if os.environ.get(name) == "":
            sys.exit(f"error: {name} is empty: unset it, or give it a value")
        if name in os.environ:
            told[name[len("KAFKA_") :].lower()] = os.environ[name]
    # kafka-python takes any other word for PLAINTEXT, "ssl" for one, and goes on unencrypted.
    if told["security_protocol"] not in ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"):
        sys.exit(f"error: KAFKA_SECURITY_PROTOCOL is no protocol: {told['security_protocol']}")
    return told


def connect(topic, group):
    """Return a member of `group` that reads `topic`; end the program if there is no broker."""
    logging.disable(logging.DEBUG)  # kafka-python's debug log shows the password
    settings, log = cluster(), logging.StreamHandler(io.StringIO())
    logging.getLogger("kafka").addHandler(log)
    try:
        consumer = KafkaConsumer(
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=10_000,  # a worker that dies without a word is missed this soon
            max_poll_interval_ms=86_400_000,  # longer work would be taken away, and done again
            metadata_max_age_ms=10_000,  # partitions added to the topic are found this soon
            bootstrap_timeout_ms=5_000,
            reconnect_backoff_max_ms=200,  # 30 s by default: too late for a broker that returns
            **settings,
        )
        consumer.subscribe([topic], listener=Rebalance(consumer))
        consumer.partitions_for_topic(topic)  # a member that does not know them joins twice
        return consumer
    except Exception as error:
        if is_shutting_down:
            sys.exit(say("End of the program. I was killed gracefully"))
        causes = re.findall(".*Connection lost: .*", log.stream.getvalue()) or [str(error)]
        why = max(causes, key=len).split("Connection lost: ")[-1]
        for sign, hint in HINTS.items():
            if re.search(sign, " ".join(causes)):
                sys.exit(f"error: cannot connect to {settings['bootstrap_servers']}: {hint}: {why}")
        sys.exit(f"error: {why}")
    finally:
        logging.getLogger("kafka").removeHandler(log)


def main():
    """Run the worker until a signal. Exit status: 0 stopped gracefully, 1 failed, 2 bad flag."""
    parser = argparse.ArgumentParser(
        description="Handle each sign-up as it comes. Ctrl+C stops it gracefully.",
        epilog=f"environment: {SETTINGS} (default: localhost:9092, PLAINTEXT)",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--topic", default="user_signups", help="topic to consume")
    parser.add_argument("--group", default="group1", help="consumer group to join")
    parser.add_argument("--work-seconds", type=float, default=0.5, help="duration of each step")
    args = parser.parse_args()
    if not args.group or not 0 <= args.work_seconds < math.inf:
        parser.error("--group takes a name, --work-seconds a number of seconds, 0 or more")

    if sys.stdout:  # show lines as they happen, in a pipe too, and in any encoding
        sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), shut_down)
    say("starting streaming consumer worker")
    consumer = connect(args.topic, args.group)
    say(f"waiting for messages in {args.topic} as {args.group}: press Ctrl+C to stop")
    try:
        consume(consumer, args.work_seconds)
    except errors.KafkaError as error:
        why = getattr(error, "description", "")
        sys.exit(f"error: cannot read {args.topic} as {args.group}: {error} {why}")
    finally:
        consumer.close(timeout_ms=2_000)
    say("End of the program. I was killed gracefully")


if __name__ == "__main__":
    main()
