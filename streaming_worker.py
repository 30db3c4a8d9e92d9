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

from kafka import ConsumerRebalanceListener, KafkaConsumer
from kafka.errors import KafkaError, RetriableError, TopicAuthorizationFailedError
from kafka.structs import MemberState

SETTINGS = (
    "KAFKA_BOOTSTRAP_SERVERS KAFKA_SECURITY_PROTOCOL KAFKA_SASL_MECHANISM "
    "KAFKA_SASL_PLAIN_USERNAME KAFKA_SASL_PLAIN_PASSWORD KAFKA_SSL_CAFILE"
)
CLUSTER = {"bootstrap_servers": "localhost:9092", "security_protocol": "PLAINTEXT"}
for name in SETTINGS.split():
    if name in os.environ:
        CLUSTER[name[len("KAFKA_") :].lower()] = os.environ[name]
HINTS = {  # what kafka-python's log says of a connection that failed: what to check
    r"REFUSED|DNS|int\(\)": "no broker there, check host, port and the address it advertises",
    r"Sasl|version=\(": "authentication failed, check KAFKA_SASL_ mechanism, username, password",
    "CERTIFICATE|X509|Errno 2": "certificate not trusted, check KAFKA_SSL_CAFILE",
    "frame|SSL|socket": "not the protocol of that port, check KAFKA_SECURITY_PROTOCOL",
}

is_shutting_down = False


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


def pretend_to_work(seconds):
    """Take `seconds`, where a real worker would call its mail server or its database."""
    end, is_announced = time.monotonic() + seconds, is_shutting_down
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, 0.1))
        if is_shutting_down and not is_announced:
            is_announced = True
            say("shutting down: finishing this message first")


def process_message(email, work_seconds):
    """Welcome one user, in two steps of `work_seconds`. Whatever it raises stops the worker."""
    shown = repr(email)[1:-1]  # content is data: a terminal would obey its control characters
    say(f"sending email to {shown}")
    pretend_to_work(work_seconds)
    say(f"updating user {shown} status to Waiting Confirmation")
    pretend_to_work(work_seconds)
    say("finished processing message")


def commit(consumer, done):
    """Commit the consumer's position and empty `done`, the names of the messages it covers.

    At-least-once: the commit follows the work, so a crash in between repeats a message and loses
    none. One that fails is tried again, at the latest before the end; nothing is begun until then.
    """
    try:
        if done:
            consumer.commit(timeout_ms=3_000)
            done.clear()
            consumer.resume(*consumer.paused())
    except KafkaError as error:
        if not consumer.paused():
            say(f"warning: not committed yet: {', '.join(done)} ({error})", sys.stderr)
        consumer.pause(*consumer.assignment())


def check(consumer, before, empty_polls):
    """Say once what keeps messages away, and once that it is over; return what it is, in words."""
    trouble, state = "", consumer.group_metadata().state
    if consumer._cluster.unauthorized_topics:  # kafka-python only logs it, and waits
        raise TopicAuthorizationFailedError(*consumer._cluster.unauthorized_topics)
    if not any(broker.connected for broker in list(consumer._manager._conns.values())):
        trouble = "lost the broker"
    elif empty_polls > 5 and state == MemberState.STABLE and not consumer.assignment():
        trouble = "no partition to read (no such topic, or other workers have them all)"
    elif state == MemberState.REBALANCING:
        # Else kafka-python 3.0 forgets a join that outlasts a poll(), for ever (as KAFKA-9815).
        consumer._coordinator.request_rejoin()
    if trouble != before:
        say(f"warning: {trouble}: waiting" if trouble else "back again: going on", sys.stderr)
    return trouble


def consume(consumer, work_seconds):
    """Handle messages until a signal; return the names of those done but not committed."""
    done, trouble, empty_polls = [], "", 0
    while not is_shutting_down:
        # One message at a time, and no poll() while it is in hand: kafka-python gives a partition
        # to another worker only inside poll(), so never between the work and the commit.
        try:
            polled = consumer.poll(timeout_ms=200, max_records=1)
        except RetriableError:  # seen in an outage; raised before any record is taken
            polled = {}
        for [record] in polled.values():
            where = f"{record.topic} partition {record.partition} offset {record.offset}"
            email = (record.value or b"").decode(errors="replace")
            if email and "\ufffd" not in email:
                process_message(email, work_seconds)
            else:
                say(f"warning: skipped {where}: not an email address in UTF-8", sys.stderr)
            done.append(where)
        commit(consumer, done)
        empty_polls = 0 if polled else empty_polls + 1
        if trouble or not polled:
            trouble = check(consumer, trouble, empty_polls)
    commit(consumer, done)
    return done


class Rebalance(ConsumerRebalanceListener):
    """Makes `consumer` forget an offset it asked for before a rebalance; kafka-python 3.0 keeps it.

    When the same partitions come back, it would begin there: with what others did in between.
    """

    def __init__(self, consumer):
        self.consumer = consumer

    def on_partitions_assigned(self, assigned):
        self.consumer._coordinator._offset_fetch_futures.clear()

    def on_partitions_revoked(self, revoked):
        pass


def connect(topic, group):
    """Return a member of `group` that reads `topic`; end the program if there is no broker."""
    for name in SETTINGS.split():
        if os.environ.get(name) == "":
            sys.exit(f"error: {name} is empty: unset it, or give it a value")
    if CLUSTER["security_protocol"] not in ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"):
        sys.exit(f"error: KAFKA_SECURITY_PROTOCOL is no protocol: {CLUSTER['security_protocol']}")
    logging.disable(logging.DEBUG)  # kafka-python's debug log shows the password
    logger, log = logging.getLogger("kafka"), io.StringIO()
    logger.addHandler(handler := logging.StreamHandler(log))
    try:
        consumer = KafkaConsumer(
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=10_000,  # a worker that dies without a word is missed this soon
            max_poll_interval_ms=86_400_000,  # longer work would be taken away, and done again
            metadata_max_age_ms=10_000,  # partitions added to the topic are found this soon
            bootstrap_timeout_ms=5_000,
            reconnect_backoff_max_ms=1_000,  # 30 s by default: too late for a broker that returns
            **CLUSTER,
        )
        consumer.subscribe([topic], listener=Rebalance(consumer))
        consumer.partitions_for_topic(topic)  # a member that does not know them joins twice
        return consumer
    except Exception as error:
        if is_shutting_down:
            sys.exit(say("End of the program. I was killed gracefully"))
        lost = re.findall(".*Connection lost: .*", log.getvalue()) or [str(error)]
        why = max(lost, key=len).split("Connection lost: ")[-1]
        for sign, hint in HINTS.items():
            if re.search(sign, " ".join(lost)):
                sys.exit(f"error: cannot connect to {CLUSTER['bootstrap_servers']}: {hint}: {why}")
        sys.exit(f"error: {why}")
    finally:
        logger.removeHandler(handler)


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
        uncommitted = consume(consumer, args.work_seconds)
    except KafkaError as error:
        why = getattr(error, "description", "")
        sys.exit(f"error: cannot read {args.topic} as {args.group}: {error} {why}")
    finally:
        consumer.close(timeout_ms=2_000)
    if uncommitted:
        sys.exit(f"error: not committed, will be handled again: {', '.join(uncommitted)}")
    say("End of the program. I was killed gracefully")


if __name__ == "__main__":
    main()
