"""Streaming worker: handle each sign-up as it comes, one message at a time.

    python streaming_worker.py      and, in another terminal:      python producer.py

You will see each user emailed and moved to 'Waiting Confirmation'. Press Ctrl+C in the middle of
one, as often as you like: that user is finished and committed, and the next is not begun.
"""

import argparse
import os
import signal
import sys
import time
import traceback

from kafka import KafkaConsumer
from kafka.errors import CommitFailedError, KafkaError, RebalanceInProgressError, RetriableError

SETTINGS = {  # kafka-python's names; KAFKA_BOOTSTRAP_SERVERS and so on in the environment
    "bootstrap_servers": "localhost:9092",
    "security_protocol": "PLAINTEXT",
    "sasl_mechanism": None,
    "sasl_plain_username": None,
    "sasl_plain_password": None,
    "ssl_cafile": None,
}
CLUSTER = {name: os.environ.get(f"KAFKA_{name.upper()}") or SETTINGS[name] for name in SETTINGS}

is_shutting_down = False


def shut_down(*_):
    """Signal handler: ask for a stop, nothing else. Whoever holds work finishes it first."""
    global is_shutting_down
    is_shutting_down = True


def say(line, stream=None):
    """Print a line at once. Output that is gone (tee, terminal) asks for a stop, never raises."""
    try:
        print(line, file=stream, flush=True)
    except OSError:
        shut_down()
        os.dup2(os.open(os.devnull, os.O_WRONLY), (stream or sys.stdout).fileno())


def pretend_to_work(seconds):
    """Take `seconds`, where a real worker would call its mail server or its database."""
    end = time.monotonic() + seconds
    was_shutting_down = is_shutting_down
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, 0.1))
        if is_shutting_down and not was_shutting_down:
            say("shutting down: finishing this message first")
            was_shutting_down = True


def process_message(email, work_seconds):
    """Welcome one user, in two steps of `work_seconds`. Whatever it raises stops the worker."""
    shown = repr(email)[1:-1]  # content is data: a terminal would obey its control characters
    say(f"sending email to {shown}")
    pretend_to_work(work_seconds)
    say(f"updating user {shown} status to Waiting Confirmation")
    pretend_to_work(work_seconds)
    say("finished processing message")


def where(record):
    """Name a record for a person."""
    return f"{record.topic} partition {record.partition} offset {record.offset}"


def read_email(record):
    """Return the email in a record's value; None, and a warning, if it holds no UTF-8 text."""
    try:
        if record.value:
            return record.value.decode()
    except UnicodeDecodeError:
        pass
    say(f"warning: skipped {where(record)}: not an email address", sys.stderr)


def commit(consumer, done):
    """Commit the consumer's position and empty `done` (first record done, by partition).

    At-least-once: the commit follows the work, so a crash in between repeats a message and loses
    none. A commit that fails for a passing reason is made up for by the next.
    """
    try:
        if done:
            consumer.commit(timeout_ms=5_000)
            done.clear()
    except (RetriableError, CommitFailedError, RebalanceInProgressError) as error:
        say(
            f"warning: not committed yet: {', '.join(map(where, done.values()))} ({error})",
            sys.stderr,
        )


def consume(consumer, work_seconds):
    """Handle messages until a signal; return what is done but could not be committed."""
    done = {}
    while not is_shutting_down:
        # One record at a time and no poll() while it is in hand: kafka-python gives a partition
        # away only inside poll(), so never before the commit.
        for partition, [record] in consumer.poll(timeout_ms=200, max_records=1).items():
            email = read_email(record)
            if email:
                process_message(email, work_seconds)
            done.setdefault(partition, record)
        commit(consumer, done)
    commit(consumer, done)
    return ", ".join(map(where, done.values()))


def seconds(text):
    """Read a flag's number of seconds: finite, 0 or more."""
    if not 0 <= float(text) < float("inf"):
        raise ValueError
    return float(text)


def main():
    """Run the worker until a signal. Exit status: 0 stopped gracefully, 1 failed, 2 bad flag."""
    parser = argparse.ArgumentParser(
        description="Handle each sign-up as it comes. Ctrl+C stops it gracefully.",
        epilog="environment: " + ", ".join(f"KAFKA_{n} ({d})" for n, d in SETTINGS.items()),
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--topic", default="user_signups", help="topic to consume")
    parser.add_argument("--group", default="group1", help="consumer group to join")
    parser.add_argument("--work-seconds", type=seconds, default=0.5, help="duration of each step")
    args = parser.parse_args()

    for name in {"SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"} & set(dir(signal)):
        signal.signal(getattr(signal, name), shut_down)
    say("starting streaming consumer worker")
    try:
        consumer = KafkaConsumer(
            args.topic,
            group_id=args.group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=10_000,  # a worker that dies without a word blocks others this long
            bootstrap_timeout_ms=5_000,
            reconnect_backoff_max_ms=1_000,  # 30 s by default: too long to miss a broker's return
            **CLUSTER,
        )
    except Exception as error:
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
        sys.exit(f"error: could not commit, will be handled again: {uncommitted}")
    say("End of the program. I was killed gracefully")


if __name__ == "__main__":
    main()
