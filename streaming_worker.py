"""Streaming worker: handle each sign-up as it comes, one message at a time.

    python streaming_worker.py      and, in another terminal:      python producer.py

You will see each user emailed and moved to 'Waiting Confirmation'. Press Ctrl+C in the middle of
one, as often as you like: that user is finished and committed, and the next is not begun.
"""

import argparse
import math
import os
import signal
import sys
import time
import traceback

from kafka import KafkaConsumer
from kafka.errors import KafkaError
from kafka.structs import MemberState

CLUSTER = {"bootstrap_servers": os.environ.get("KAFKA_BOOTSTRAP_SERVERS") or "localhost:9092"}
SECURITY = "security_protocol sasl_mechanism sasl_plain_username sasl_plain_password ssl_cafile"
for setting in SECURITY.split():
    if os.environ.get(f"KAFKA_{setting.upper()}"):
        CLUSTER[setting] = os.environ[f"KAFKA_{setting.upper()}"]

is_shutting_down = False
is_announced = False


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
    global is_announced
    end = time.monotonic() + seconds
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
    """Commit the consumer's position and empty `done`: {TopicPartition: first message done}.

    At-least-once: the commit follows the work, so a crash in between repeats a message and loses
    none. One that fails is made up for by the next, at the latest before the end.
    """
    try:
        if done:
            consumer.commit(timeout_ms=5_000)
            done.clear()
    except KafkaError as error:
        say(f"warning: not committed yet: {', '.join(done.values())} ({error})", sys.stderr)


def consume(consumer, work_seconds):
    """Handle messages until a signal; return what is done but not committed, in words."""
    done = {}
    while not is_shutting_down:
        # One message at a time, and no poll() while it is in hand: kafka-python gives a partition
        # to another worker only inside poll(), so never between the work and the commit.
        for partition, [record] in consumer.poll(timeout_ms=200, max_records=1).items():
            where = f"{record.topic} partition {record.partition} offset {record.offset}"
            email = (record.value or b"").decode(errors="replace")
            if email and "\ufffd" not in email:
                process_message(email, work_seconds)
            else:
                say(f"warning: skipped {where}: not an email address in UTF-8", sys.stderr)
            done.setdefault(partition, where)
        commit(consumer, done)
        if consumer.group_metadata().state == MemberState.REBALANCING:
            # Else kafka-python 3.0 forgets a join that outlasts a poll(), for ever (as KAFKA-9815).
            consumer._coordinator.request_rejoin()
    commit(consumer, done)
    return ", ".join(done.values())


def main():
    """Run the worker until a signal. Exit status: 0 stopped gracefully, 1 failed, 2 bad flag."""
    parser = argparse.ArgumentParser(
        description="Handle each sign-up as it comes. Ctrl+C stops it gracefully.",
        epilog="environment: KAFKA_BOOTSTRAP_SERVERS (default: localhost:9092), "
        + ", ".join(f"KAFKA_{name.upper()}" for name in SECURITY.split()),
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--topic", default="user_signups", help="topic to consume")
    parser.add_argument("--group", default="group1", help="consumer group to join")
    parser.add_argument("--work-seconds", type=float, default=0.5, help="duration of each step")
    args = parser.parse_args()
    if not 0 <= args.work_seconds < math.inf:
        parser.error("--work-seconds takes a number of seconds, 0 or more")

    if sys.stdout:  # show lines as they happen, in a pipe too, and in any encoding
        sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), shut_down)
    say("starting streaming consumer worker")
    try:
        consumer = KafkaConsumer(
            args.topic,
            group_id=args.group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=10_000,  # a worker that dies without a word is missed this soon
            bootstrap_timeout_ms=5_000,
            reconnect_backoff_max_ms=1_000,  # 30 s by default: too late for a broker that returns
            **CLUSTER,
        )
    except Exception as error:
        if is_shutting_down:
            sys.exit(say("End of the program. I was killed gracefully"))
        sys.exit(f"error: cannot connect to {CLUSTER['bootstrap_servers']}: {error}")
    say(f"waiting for messages in {args.topic} as {args.group}: press Ctrl+C to stop")
    try:
        uncommitted = consume(consumer, args.work_seconds)
    except Exception as error:
        if not isinstance(error, KafkaError):
            traceback.print_exc()
        sys.exit(f"error: {error!r}: the message in hand will be handled again")
    finally:
        consumer.close(timeout_ms=2_000)
    if uncommitted:
        sys.exit(f"error: not committed, will be handled again: {uncommitted}")
    say("End of the program. I was killed gracefully")


if __name__ == "__main__":
    main()
