"""Batch worker: buffer the sign-ups, handle all of them together every 5 seconds.

    python batch_worker.py          and, in another terminal:      python producer.py

A consumer thread fills a queue; the main thread drains it every 5 seconds, as soon as it is full,
and once more on Ctrl+C: whoever is in the buffer is handled and committed before the end.
"""

import argparse
import io
import logging
import math
import os
import re
import signal
import sys
import threading
import time
from queue import SimpleQueue as Queue  # in C; the other costs 7 % of the throughput

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
    end, is_announced = time.monotonic() + seconds, is_shutting_down
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, 0.1))
        if is_shutting_down and not is_announced:
            is_announced = True
            say("shutting down: finishing this batch first")


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


class Consumer(threading.Thread):
    """Polls Kafka and puts the records into `emails`, until a signal or an `error`."""

    def __init__(self, client, max_batch_size):
        super().__init__(daemon=True)
        self.client, self.max_batch_size = client, max_batch_size
        self.member_id, self.owned, self.error = None, None, None
        self.trouble, self.empty_polls = "", 0

    def run(self):
        """Poll, 0.2 s at a time; while the buffer is full or a batch is in hand, do not."""
        try:
            while not is_shutting_down:
                with turn:
                    self.poll()
                    is_full = emails.qsize() >= self.max_batch_size
                    if is_full:
                        turn.notify()
                    turn.wait(0.2 if is_full else 0.001)  # else the main thread never has a turn
        except Exception as error:
            self.error = error

    def poll(self):
        """Buffer the next records; drop those that a rebalance took away with their partition."""
        room = max(1, self.max_batch_size - emails.qsize())
        try:
            polled = self.client.poll(timeout_ms=200, max_records=room)
        except RetriableError:  # seen in an outage; raised before any record is taken
            polled = {}
        member_id, owned = self.client.group_metadata().member_id, self.client.assignment()
        if (member_id, owned) != (self.member_id, self.owned):
            for _ in range(emails.qsize()):
                partition, record = emails.get_nowait()
                # A new member id: the group had thrown us out, everything is read again.
                if partition in owned and member_id == self.member_id:
                    emails.put((partition, record))
            self.member_id, self.owned = member_id, owned
        for partition, records in polled.items():
            for record in records:
                emails.put((partition, record))
            say("\n".join(["received a message, inserting into a queue buffer"] * len(records)))
        self.empty_polls = 0 if polled else self.empty_polls + 1
        if self.trouble or not polled:
            self.trouble = check(self.client, self.trouble, self.empty_polls)


def places(records):
    """Return where these records are, in words."""
    return ", ".join(f"{r.topic} partition {r.partition} offset {r.offset}" for r in records)


def commit(client, done):
    """Commit the client's position and empty `done`: {TopicPartition: first record it covers}.

    At-least-once: the commit follows the work, so a crash in between repeats a batch and loses
    none. One that fails is tried again, at the latest before the end; nothing is begun until then.
    """
    try:
        if done:
            client.commit(timeout_ms=3_000)
            done.clear()
            client.resume(*client.paused())
    except KafkaError as error:
        if not client.paused():
            say(f"warning: not committed yet: {places(done.values())} ({error})", sys.stderr)
        client.pause(*client.assignment())


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
        email = (record.value or b"").decode(errors="replace")
        if email and "\ufffd" not in email:
            users.append(email)
        else:
            say(f"warning: skipped {places([record])}: not an email address in UTF-8", sys.stderr)
        done.setdefault(partition, record)
    if users:
        say(f"flushing {len(users)} users: {why}")
        say("processing message in queue buffer")
        say(f"sending email to users {users}")
        pretend_to_work(work_seconds)
        say(f"updating status to Waiting Confirmation for users {users}")
        pretend_to_work(work_seconds)
        say("finished processing messages")
    commit(client, done)


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
        description="Handle sign-ups in batches. Ctrl+C flushes the buffer and stops.",
        epilog=f"environment: {SETTINGS} (default: localhost:9092, PLAINTEXT)",
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
    if not args.group or args.max_batch_size < 1:
        parser.error("--group takes a name, --max-batch-size a number of records, 1 or more")

    if sys.stdout:  # show lines as they happen, in a pipe too, and in any encoding
        sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), shut_down)
    say("starting batch consumer worker")
    client = connect(args.topic, args.group)
    say(f"waiting for messages in {args.topic} as {args.group}: press Ctrl+C to stop")
    consumer, done = Consumer(client, args.max_batch_size), {}
    consumer.start()
    next_flush = time.monotonic() + args.interval
    try:
        while not is_shutting_down and consumer.is_alive():
            with turn:
                is_full = turn.wait_for(lambda: emails.qsize() >= args.max_batch_size, timeout=0.1)
                if is_full or done or time.monotonic() >= next_flush:
                    why = "the buffer is full" if is_full else f"every {args.interval:g} s"
                    process_messages(client, done, why, args.work_seconds)
                    next_flush = time.monotonic() + args.interval
                    turn.notify()
        # The order matters: no more polling, the last flush, its commit, and only then close().
        consumer.join()
        with turn:
            process_messages(client, done, "shutting down", args.work_seconds)
    finally:
        shut_down()  # work that raised: the thread must not poll a client that is closed
        consumer.join()
        client.close(timeout_ms=2_000)
    if not emails.empty():
        say(f"a rebalance is under way: {emails.qsize()} users are left to the group")
    if done:
        sys.exit(f"error: not committed, will be handled again: {places(done.values())}")
    if consumer.error:
        why = getattr(consumer.error, "description", "")
        sys.exit(f"error: cannot read {args.topic} as {args.group}: {consumer.error} {why}")
    say("End of the program. I was killed gracefully")


if __name__ == "__main__":
    main()
