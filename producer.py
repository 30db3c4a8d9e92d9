"""Producer: publish sign-ups, one message a user, each named once the broker has acknowledged it.

python producer.py              with a worker in another terminal, before or after
"""

import argparse
import collections
import io
import logging
import math
import os
import re
import signal
import sys
import time

from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError

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


def create_topic(admin, topic, partitions):
    """Create `topic` unless it is there already. Any other error ends the program."""
    response = admin.create_topics({topic: {"num_partitions": partitions}}, raise_errors=False)
    error = response["topics"][0]
    if error["error_code"]:  # often: that it is there already, or that we have no right to create
        # A topic that was created a moment ago is described as one without partitions at first.
        found = wait_for(lambda: len(admin.describe_topics([topic])[0]["partitions"]), 2)
        if not found:
            sys.exit(f"error: cannot create the topic {topic}: {error['error_message'] or error}")
        say(f"Topic {topic} is already created")
        if found != partitions:
            say(f"warning: {topic} has {found} partitions, not {partitions}", sys.stderr)


def wait_for(fact, seconds):
    """Wait until `fact()` is true, `seconds` at most; return its last value."""
    end = time.monotonic() + seconds
    while not (value := fact()) and (left := end - time.monotonic()) > 0:
        time.sleep(min(left, 0.05))
    return value


def publish(producer, topic, count, delay):
    """Send `count` sign-ups, `delay` seconds apart, until a signal or a failure; wait for answers.

    Return how many were sent, and those that were not delivered, as {email: error}.
    """
    sent, waiting, failed = 0, collections.deque(), {}

    def confirm():
        """Name whom the broker has acknowledged by now."""
        while waiting and waiting[0][1].is_done:
            email, future = waiting.popleft()
            if future.succeeded():
                say(f"Published message to message broker. User email: {email}")
            else:
                failed[email] = future.exception

    while sent < count and not failed and not is_shutting_down:
        email = f"user{sent}@gmail.com"
        sent += 1
        try:
            waiting.append((email, producer.send(topic, key=email.encode(), value=email.encode())))
        except KafkaError as error:  # no such topic any more, or no leader, for max_block_ms
            failed[email] = error
        wait_for(lambda: confirm() or failed or is_shutting_down, delay)
    # Not flush(): its limit is for each batch anew.
    wait_for(lambda: confirm() or not waiting, 1)
    patience = 10 if failed else 60  # seconds; the first to fail has had up to 50 already
    if waiting:
        say(f"waiting up to {patience} s for {len(waiting)} messages to be acknowledged")
    wait_for(lambda: confirm() or not waiting, patience)
    try:
        producer.close(timeout=1)
    except KafkaError:  # somebody is still waiting
        sys.unraisablehook = lambda _: None  # close() runs again at exit, and fails again
    return sent, {**failed, **{email: "no answer from the broker" for email, _ in waiting}}


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


def connect(topic, partitions):
    """Return a producer, with `topic` there; end the program if there is no broker."""
    logging.disable(logging.DEBUG)  # kafka-python's debug log shows the password
    settings, log = cluster(), logging.StreamHandler(io.StringIO())
    logging.getLogger("kafka").addHandler(log)
    try:
        admin = KafkaAdminClient(bootstrap_timeout_ms=5_000, **settings)
        create_topic(admin, topic, partitions)
        admin.close()
        return KafkaProducer(
            bootstrap_timeout_ms=5_000,
            linger_ms=5,  # sign-ups that come together travel together
            max_block_ms=10_000,
            delivery_timeout_ms=50_000,
            reconnect_backoff_max_ms=200,  # 30 s by default: too late for a broker that returns
            **settings,
        )
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
    """Publish until done or a signal. Exit status: 0 all delivered, 1 failed, 2 bad flag."""
    parser = argparse.ArgumentParser(
        description="Publish sign-ups. Ctrl+C stops it; what was sent is delivered first.",
        epilog=f"environment: {SETTINGS} (default: localhost:9092, PLAINTEXT)",
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
    producer = connect(args.topic, args.partitions)
    sent, failed = publish(producer, args.topic, args.count, args.delay)
    for email, error in failed.items():
        say(f"error: not delivered: {email}: {error}", sys.stderr)
    say(f"Published {sent - len(failed)} of {args.count} messages to topic {args.topic}")
    if failed:
        sys.exit(f"error: {len(failed)} of {sent} messages were not delivered")


if __name__ == "__main__":
    main()
