"""Batch worker: buffer the sign-ups, handle all of them together every 5 seconds.

    python batch_worker.py          and, in another terminal:      python producer.py

A consumer thread fills a queue; the main thread drains it every 5 seconds, as soon as it is full,
and once more on Ctrl+C: what is in the buffer is then handled and committed before the end.
"""

import argparse
import os
import signal
import sys
import threading
import time
import traceback
from queue import Queue

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import CommitFailedError, KafkaError, RebalanceInProgressError, RetriableError
from kafka.structs import MemberState

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
emails = Queue()  # of records that were polled, but not handled yet
turn = threading.Condition()  # whoever holds it may use the Kafka client, nobody else


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
            say("shutting down: finishing this batch first")
            was_shutting_down = True


class Consumer(threading.Thread):
    """Poll Kafka and put the records into `emails`, until a signal or an `error`."""

    def __init__(self, client, max_batch_size):
        super().__init__(daemon=True)
        self.client = client
        self.max_batch_size = max_batch_size
        self.membership = None
        self.error = None

    def run(self):
        """Poll for 0.2 s at a time, but not while the buffer is full or a batch is in hand."""
        try:
            while not is_shutting_down:
                with turn:
                    if self.is_full():
                        turn.notify()
                        turn.wait(timeout=0.2)
                    else:
                        self.poll()
                time.sleep(0.001)  # the lock is not fair: leave it to the main thread for a moment
        except Exception as error:
            self.error = error

    def is_full(self):
        """Tell whether a batch can be, and should be, processed at once."""
        return emails.qsize() >= self.max_batch_size and is_stable(self.client)

    def poll(self):
        """Buffer the next records; drop what a rebalance took away, its new owner reads it."""
        room = max(1, self.max_batch_size - emails.qsize())
        polled = self.client.poll(timeout_ms=200, max_records=room)
        member_id, owned = self.client.group_metadata().member_id, self.client.assignment()
        if self.membership != (member_id, owned):
            # A new member id: we were thrown out, and all of it will be read again.
            for record in drain():
                partition = TopicPartition(record.topic, record.partition)
                if self.membership[0] == member_id and partition in owned:
                    emails.put(record)
            self.membership = member_id, owned
        for records in polled.values():
            for record in records:
                say("received a message, inserting into a queue buffer")
                emails.put(record)


def is_stable(client):
    """Tell whether no rebalance is under way. During one, nothing can be committed."""
    return client.group_metadata().state == MemberState.STABLE


def drain():
    """Empty the buffer; return the records that were in it."""
    records = []
    while not emails.empty():
        records.append(emails.get_nowait())
    return records


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


def commit(client, done):
    """Commit the client's position and empty `done` (first record done, by partition).

    At-least-once: the commit follows the work, so a crash in between repeats a batch and loses
    none. A commit that fails for a passing reason is made up for by the next.
    """
    try:
        if done:
            client.commit(timeout_ms=5_000)
            done.clear()
    except (RetriableError, CommitFailedError, RebalanceInProgressError) as error:
        say(
            f"warning: not committed yet: {', '.join(map(where, done.values()))} ({error})",
            sys.stderr,
        )


def process_messages(client, done, why, work_seconds):
    """Drain the buffer, welcome all users in it, then commit. Call it with `turn` held.

    Nothing polls meanwhile, and kafka-python gives a partition away only inside poll(): never
    before the batch is committed. Two steps of `work_seconds`; what they raise stops the worker.
    """
    if not is_stable(client):
        return
    records = drain()
    for record in records:
        done.setdefault((record.topic, record.partition), record)
    users = [email for email in map(read_email, records) if email]
    if users:
        say(f"flushing {len(users)} users: {why}")
        say("processing message in queue buffer")
        say(f"sending email to users {users}")
        pretend_to_work(work_seconds)
        say(f"updating status to Waiting Confirmation for users {users}")
        pretend_to_work(work_seconds)
        say("finished processing messages")
    commit(client, done)


def seconds(text):
    """Read a flag's number of seconds: finite, 0 or more."""
    if not 0 <= float(text) < float("inf"):
        raise ValueError
    return float(text)


def size(text):
    """Read a flag's number of records: 1 or more."""
    if int(text) < 1:
        raise ValueError
    return int(text)


def main():
    """Run the worker until a signal. Exit status: 0 stopped gracefully, 1 failed, 2 bad flag."""
    parser = argparse.ArgumentParser(
        description="Handle sign-ups in batches. Ctrl+C flushes the buffer and stops.",
        epilog="environment: " + ", ".join(f"KAFKA_{n} ({d})" for n, d in SETTINGS.items()),
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--topic", default="user_signups", help="topic to consume")
    parser.add_argument("--group", default="group1", help="consumer group to join")
    parser.add_argument("--work-seconds", type=seconds, default=0.5, help="duration of each step")
    parser.add_argument("--interval", type=seconds, default=5, help="seconds between two flushes")
    parser.add_argument("--max-batch-size", type=size, default=500, help="flush that many at once")
    args = parser.parse_args()

    for name in {"SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"} & set(dir(signal)):
        signal.signal(getattr(signal, name), shut_down)
    say("starting batch consumer worker")
    try:
        client = KafkaConsumer(
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
        sys.exit(f"error: cannot reach {CLUSTER['bootstrap_servers']}: {error}")
    say(f"waiting for messages in {args.topic} as {args.group}: press Ctrl+C to stop")
    consumer = Consumer(client, args.max_batch_size)
    consumer.start()
    done = {}
    try:
        next_flush = time.monotonic() + args.interval
        while not is_shutting_down and consumer.is_alive():
            with turn:
                wait = min(0.2, max(0.01, next_flush - time.monotonic()))
                if turn.wait_for(consumer.is_full, timeout=wait):
                    process_messages(client, done, "the buffer is full", args.work_seconds)
                elif time.monotonic() >= next_flush:
                    process_messages(client, done, f"every {args.interval:g} s", args.work_seconds)
                else:
                    continue
                turn.notify()
            next_flush = time.monotonic() + args.interval
        consumer.join()
        process_messages(client, done, "shutting down", args.work_seconds)
    except Exception as error:
        if not isinstance(error, KafkaError):
            traceback.print_exc()
        sys.exit(f"error: {error!r}: the batch in hand will be handled again")
    finally:
        client.close(timeout_ms=2_000)
    if not emails.empty():
        say(
            f"warning: a rebalance is under way: {emails.qsize()} buffered users are left to the group"
        )
    if done:
        sys.exit(
            f"error: could not commit, will be handled again: {', '.join(map(where, done.values()))}"
        )
    if consumer.error:
        sys.exit(f"error: consumer thread ended: {consumer.error!r}")
    say("End of the program. I was killed gracefully")


if __name__ == "__main__":
    main()
