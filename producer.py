"""Producer: publish sign-ups, one message a user, each named once the broker has acknowledged it.

python producer.py              with a worker in another terminal, before or after
"""

import argparse
import contextlib
import math
import os
import signal
import sys
import time

from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError, KafkaTimeoutError, TopicAlreadyExistsError

CLUSTER = {"bootstrap_servers": os.environ.get("KAFKA_BOOTSTRAP_SERVERS") or "localhost:9092"}
SECURITY = "security_protocol sasl_mechanism sasl_plain_username sasl_plain_password ssl_cafile"
for setting in SECURITY.split():
    if os.environ.get(f"KAFKA_{setting.upper()}"):
        CLUSTER[setting] = os.environ[f"KAFKA_{setting.upper()}"]

is_shutting_down = False


def shut_down(*_):
    """Signal handler: ask for a stop, nothing else. What was sent is delivered first."""
    global is_shutting_down
    is_shutting_down = True


def say(line, stream=None):
    """Print a line at once. Output that is gone (head, terminal) asks for a stop, never raises."""
    try:
        print(line, file=stream)
    except OSError:
        shut_down()
        os.dup2(os.open(os.devnull, os.O_WRONLY), (stream or sys.stdout).fileno())


def create_topic(topic, partitions):
    """Create `topic` unless it is there already. Any other error ends the program."""
    admin = KafkaAdminClient(bootstrap_timeout_ms=5_000, **CLUSTER)
    response = admin.create_topics({topic: {"num_partitions": partitions}}, raise_errors=False)
    error = response["topics"][0]
    if error["error_code"] == TopicAlreadyExistsError.errno:
        say(f"Topic {topic} is already created")
        found = len(admin.describe_topics([topic])[0]["partitions"])
        if found != partitions:
            say(f"warning: {topic} has {found} partitions, not {partitions}", sys.stderr)
    elif error["error_code"]:
        sys.exit(f"error: cannot create the topic: {error['error_message'] or error}")
    admin.close()


def publish(producer, topic, count, delay):
    """Send `count` sign-ups, `delay` seconds apart, until a signal; wait for the answers.

    Return how many were sent, and those without an acknowledgement: {email: error, if any}.
    """
    sent, unconfirmed = 0, {}

    def confirm(email, _):
        say(f"Published message to message broker. User email: {email}")
        del unconfirmed[email]

    try:
        while sent < count and not is_shutting_down:
            email = f"user{sent}@gmail.com"
            sent, unconfirmed[email] = sent + 1, "no answer from the broker"
            future = producer.send(topic, key=email.encode(), value=email.encode())
            future.add_callback(confirm, email).add_errback(unconfirmed.__setitem__, email)
            pause_end = time.monotonic() + delay
            while not is_shutting_down and (left := pause_end - time.monotonic()) > 0:
                time.sleep(min(left, 0.1))
        with contextlib.suppress(KafkaTimeoutError):
            producer.flush(timeout=1)
        if unconfirmed:
            say(f"waiting up to 60 s for the broker to acknowledge {len(unconfirmed)} messages")
        producer.flush(timeout=60)
        producer.close(timeout=1)
    except KafkaError as error:
        say(f"error: {error}", sys.stderr)
        sys.unraisablehook = lambda _: None  # close() runs again at exit, and fails again
    return sent, unconfirmed


def main():
    """Publish until done or a signal. Exit status: 0 all delivered, 1 failed, 2 bad flag."""
    variables = ", ".join(f"KAFKA_{name.upper()}" for name in SECURITY.split())
    parser = argparse.ArgumentParser(
        description="Publish sign-ups. Ctrl+C stops it; what was sent is delivered first.",
        epilog=f"environment: KAFKA_BOOTSTRAP_SERVERS (default: localhost:9092), {variables}",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--topic", default="user_signups", help="topic to publish to")
    parser.add_argument("--count", type=int, default=10, help="number of users")
    parser.add_argument("--delay", type=float, default=0.1, help="seconds between two messages")
    parser.add_argument("--partitions", type=int, default=1, help="of the topic, if it is created")
    args = parser.parse_args()
    if args.count < 0 or args.partitions < 1 or not 0 <= args.delay < math.inf:
        parser.error("--count and --delay take 0 or more, --partitions 1 or more")

    if sys.stdout:  # show lines as they happen, in a pipe too, and in any encoding
        sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), shut_down)
    say("starting producer")
    try:
        create_topic(args.topic, args.partitions)
        producer = KafkaProducer(
            bootstrap_timeout_ms=5_000,
            max_block_ms=10_000,
            delivery_timeout_ms=50_000,
            reconnect_backoff_max_ms=1_000,  # 30 s by default: too late for a broker that returns
            **CLUSTER,
        )
    except Exception as error:
        if is_shutting_down:
            sys.exit(say("End of the program. I was killed gracefully"))
        sys.exit(f"error: cannot connect to {CLUSTER['bootstrap_servers']}: {error}")
    sent, unconfirmed = publish(producer, args.topic, args.count, args.delay)
    for email, error in unconfirmed.items():
        say(f"error: not delivered: {email}: {error}", sys.stderr)
    say(f"Published {sent - len(unconfirmed)} of {args.count} messages to topic {args.topic}")
    if unconfirmed:
        sys.exit(f"error: {len(unconfirmed)} of {sent} messages were not delivered")


if __name__ == "__main__":
    main()
