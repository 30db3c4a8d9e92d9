"""Batch worker: buffer the sign-ups, handle all of them together every 5 seconds.

    python batch_worker.py          and, in another terminal:      python producer.py

A consumer thread fills a queue; the main thread drains it every 5 seconds, as soon as it is full,
and once more on Ctrl+C: whoever is in the buffer is handled and committed before the end.
"""

import argparse
import math
import os
import signal
import sys
import threading
import time
import traceback
from queue import Queue

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
emails = Queue()  # of (TopicPartition, record): polled, not handled yet
turn = threading.Condition()  # held by the one thread that may use the Kafka client


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
            say("shutting down: finishing this batch first")


class Consumer(threading.Thread):
    """Polls Kafka and puts the records into `emails`, until a signal or an `error`."""

    def __init__(self, client, max_batch_size):
        super().__init__(daemon=True)
        self.client, self.max_batch_size = client, max_batch_size
        self.member_id, self.owned, self.error = None, None, None

    def run(self):
        """Poll, 0.2 s at a time; while the buffer is full or a batch is in hand, do not."""
        try:
            while not is_shutting_down:
                with turn:
                    self.poll()
                    if emails.qsize() >= self.max_batch_size:
                        turn.notify()
                        turn.wait(timeout=0.2)
                time.sleep(0.001)  # the lock is not fair: let the main thread have it
        except Exception as error:
            self.error = error

    def poll(self):
        """Buffer the next records; drop those that a rebalance took away with their partition."""
        room = max(1, self.max_batch_size - emails.qsize())
        polled = self.client.poll(timeout_ms=200, max_records=room)
        membership = self.client.group_metadata()
        member_id, owned = membership.member_id, self.client.assignment()
        if (member_id, owned) != (self.member_id, self.owned):
            for _ in range(emails.qsize()):
                partition, record = emails.get_nowait()
                # A new member id: the group had thrown us out, everything is read again.
                if partition in owned and member_id == self.member_id:
                    emails.put((partition, record))
            self.member_id, self.owned = member_id, owned
        if membership.state == MemberState.REBALANCING:
            # Else kafka-python 3.0 forgets a join that outlasts a poll(), for ever (as KAFKA-9815).
            self.client._coordinator.request_rejoin()
        for partition, records in polled.items():
            for record in records:
                say("received a message, inserting into a queue buffer")
                emails.put((partition, record))


def commit(client, done):
    """Commit the client's position and empty `done`: {TopicPartition: first message done}.

    At-least-once: the commit follows the work, so a crash in between repeats a batch and loses
    none. One that fails is made up for by the next, at the latest before the end.
    """
    try:
        if done:
            client.commit(timeout_ms=5_000)
            done.clear()
    except KafkaError as error:
        say(f"warning: not committed yet: {', '.join(done.values())} ({error})", sys.stderr)


def process_messages(client, done, why, work_seconds):
    """Drain the buffer, welcome its users in two steps of `work_seconds`, commit. Holds `turn`.

    No poll() meanwhile: kafka-python gives a partition to another worker only inside poll(), so
    never between the work and the commit. Whatever the work raises stops the worker.
    """
    if client.group_metadata().state != MemberState.STABLE:
        turn.wait(timeout=0.2)  # a rebalance is under way: nobody can commit before it is over
        return
    users = []
    for partition, record in [emails.get_nowait() for _ in range(emails.qsize())]:
        where = f"{record.topic} partition {record.partition} offset {record.offset}"
        email = (record.value or b"").decode(errors="replace")
        if email and "\ufffd" not in email:
            users.append(email)
        else:
            say(f"warning: skipped {where}: not an email address in UTF-8", sys.stderr)
        done.setdefault(partition, where)
    if users:
        say(f"flushing {len(users)} users: {why}")
        say("processing message in queue buffer")
        say(f"sending email to users {users}")
        pretend_to_work(work_seconds)
        say(f"updating status to Waiting Confirmation for users {users}")
        pretend_to_work(work_seconds)
        say("finished processing messages")
    commit(client, done)


def main():
    """Run the worker until a signal. Exit status: 0 stopped gracefully, 1 failed, 2 bad flag."""
    global is_announced
    parser = argparse.ArgumentParser(
        description="Handle sign-ups in batches. Ctrl+C flushes the buffer and stops.",
        epilog="environment: KAFKA_BOOTSTRAP_SERVERS (default: localhost:9092), "
        + ", ".join(f"KAFKA_{name.upper()}" for name in SECURITY.split()),
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--topic", default="user_signups", help="topic to consume")
    parser.add_argument("--group", default="group1", help="consumer group to join")
    parser.add_argument("--work-seconds", type=float, default=0.5, help="duration of each step")
    parser.add_argument("--interval", type=float, default=5, help="seconds between flushes")
    parser.add_argument("--max-batch-size", type=int, default=500, help="a full buffer is flushed")
    args = parser.parse_args()
    if not (0 <= args.work_seconds < math.inf and 0 <= args.interval < math.inf):
        parser.error("--work-seconds and --interval take a number of seconds, 0 or more")
    if args.max_batch_size < 1:
        parser.error("--max-batch-size takes a number of records, 1 or more")

    if sys.stdout:  # show lines as they happen, in a pipe too, and in any encoding
        sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), shut_down)
    say("starting batch consumer worker")
    try:
        client = KafkaConsumer(
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
    consumer, done = Consumer(client, args.max_batch_size), {}
    consumer.start()
    next_flush = time.monotonic() + args.interval
    try:
        while not is_shutting_down and consumer.is_alive():
            with turn:
                is_full = turn.wait_for(lambda: emails.qsize() >= args.max_batch_size, timeout=0.1)
                if is_full or time.monotonic() >= next_flush:
                    why = "the buffer is full" if is_full else f"every {args.interval:g} s"
                    process_messages(client, done, why, args.work_seconds)
                    next_flush = time.monotonic() + args.interval
                    turn.notify()
        # The order matters: no more polling, the last flush, its commit, and only then close().
        consumer.join()
        is_announced = True  # the flush says why
        with turn:
            process_messages(client, done, "shutting down", args.work_seconds)
    except Exception as error:
        if not isinstance(error, KafkaError):
            traceback.print_exc()
        sys.exit(f"error: {error!r}: the batch in hand will be handled again")
    finally:
        client.close(timeout_ms=2_000)
    if not emails.empty():
        say(f"a rebalance is under way: {emails.qsize()} users are left to the group")
    if done:
        sys.exit(f"error: not committed, will be handled again: {', '.join(done.values())}")
    if consumer.error:
        sys.exit(f"error: the consumer thread ended: {consumer.error!r}")
    say("End of the program. I was killed gracefully")


if __name__ == "__main__":
    main()
