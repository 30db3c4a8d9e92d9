"""Sign users up: publish a message for each of them.

Run `python producer.py`. It prints a line for each message that the broker confirms.
"""

import argparse
import atexit
import contextlib
import logging
import os
import re
import signal
import sys
import time

from kafka import KafkaAdminClient, KafkaProducer, errors
from kafka.admin import NewTopic
from kafka.version import __version__

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
    # Otherwise, OpenSSL would ask the terminal for the password of a locked key.
    "ssl_password": os.getenv("KAFKA_SSL_PASSWORD", ""),
    # A server that never answers takes half of this time. The default is 2 s.
    "api_version_auto_timeout_ms": 5_000,
    # A broker that returns is found at once. The default grows to 30 s.
    "reconnect_backoff_max_ms": 200,
}

is_shutting_down = False
sent = {}  # {email: future} of each message that is to be confirmed
failures = {}  # {email: error} of each message that was not confirmed
shown = {}  # {what kafka-python says: when it was last shown}


def shut_down(*_):
    """Signal handler. It can interrupt any line, so it only sets a flag."""
    global is_shutting_down
    is_shutting_down = True


def publish(producer, topic, count, delay):
    """Sign up `count` users, one every `delay` seconds. Return how many succeeded."""
    published = 0
    for number in range(count):
        if number > 0:
            pause(delay)
        if is_shutting_down or failures:
            break
        send(producer, topic, f"user{number}@gmail.com")
        if delay or len(sent) == 1_000:  # without a delay, many share one wait
            published += confirm()
    return published + confirm()


def send(producer, topic, email):
    """Hand a message to kafka-python, which sends it in the background.

    The email is the key, too: messages with the same key stay in order.
    """
    text = email.encode()
    try:
        sent[email] = producer.send(topic, key=text, value=text)
    except Exception as error:
        failures[email] = error


def confirm():
    """Wait for the broker's answers. Return how many messages it has confirmed.

    kafka-python gives up on a message after a minute (delivery_timeout_ms). We give up
    on what it has not reported five seconds after that, or after a signal.
    """
    wait_for_answers(60)
    give_up_at = time.monotonic() + 5
    published = 0
    for email, future in sent.items():
        patience = max(0, give_up_at - time.monotonic())
        try:
            future.get(timeout=patience)
        except Exception as error:
            failures[email] = error
        else:
            published += 1
            say(f"Published message to message broker. User email: {email}")
    sent.clear()
    return published


def wait_for_answers(seconds):
    """Wait until all that was sent is answered, or for so long, or until a signal."""
    end = time.monotonic() + seconds
    for future in sent.values():
        while not (future.is_done or is_shutting_down) and time.monotonic() < end:
            with contextlib.suppress(Exception):  # confirm() looks at it
                future.get(timeout=0.1)


def pause(delay):
    """Wait for `delay` seconds, or until a signal."""
    end = time.monotonic() + delay
    while not is_shutting_down and time.monotonic() < end:
        time.sleep(min(delay, 0.1))


# From here on: what surrounds the job. Most of it is the same in all three scripts.
def create_topic(topic, partitions):
    """Create the topic, unless it is there already."""
    with contextlib.closing(KafkaAdminClient(**CLUSTER)) as admin:
        if topic in retry(admin.list_topics):
            say(f"Topic {topic} is already created")
            return
        new_topic = NewTopic(topic, partitions, -1)  # the broker's number of replicas
        with contextlib.suppress(errors.TopicAlreadyExistsError):  # since we asked
            retry(admin.create_topics, [new_topic])


def retry(call, *arguments):
    """Try a call of the admin client up to six times. Return its answer.

    Over TLS 1.3, kafka-python 2.3 loses one connection in five at its start, and only
    the admin client does not connect again by itself.
    """
    for _ in range(5):
        try:
            return call(*arguments)
        except errors.KafkaConnectionError:
            time.sleep(0.1)
    return call(*arguments)


def connect():
    """Return a producer. It raises what kafka-python raises."""
    return KafkaProducer(
        **CLUSTER,
        # By default, a message counts as sent when only one broker has it.
        acks="all",
        # By default, a message that is sent again may be in the topic twice.
        enable_idempotence=True,
        # By default, kafka-python waits 2 minutes for a broker that is away.
        delivery_timeout_ms=60_000,
        # By default, send() waits 60 s for the topic's metadata, deaf to Ctrl+C.
        max_block_ms=8_000,
    )


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
    """Log filter: in an outage, kafka-python says the same 15 times a second."""
    if not record.name.startswith("kafka") or record.levelno < logging.WARNING:
        return True
    error = record.exc_info and record.exc_info[1]
    if isinstance(error, (errors.KafkaError, OSError)):
        record.exc_info = None  # only the traceback of a mistake tells more
    text = re.sub(r"[\d.]+ (ms|secs|attempts)", "", record.getMessage())
    if record.created < shown.get(text, 0) + 60:
        return False
    shown[text] = record.created
    return True


def handle_signals(handler):
    """Handle each signal that asks to stop. What nohup ignores stays ignored."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number and signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handler)


def read_flags():
    """Return the flags. A bad one ends the program with status 2."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        epilog="Environment: KAFKA_BOOTSTRAP_SERVERS, KAFKA_SECURITY_PROTOCOL, "
        "KAFKA_SASL_MECHANISM, KAFKA_SASL_PLAIN_USERNAME, KAFKA_SASL_PLAIN_PASSWORD, "
        "KAFKA_SSL_CAFILE, KAFKA_SSL_CERTFILE, KAFKA_SSL_KEYFILE, KAFKA_SSL_PASSWORD",
    )
    parser.add_argument("--topic", default="user_signups", help="topic to publish to")
    parser.add_argument("--count", type=int, default=10, help="number of users")
    parser.add_argument("--delay", type=float, default=0.1, help="pause, in seconds")
    parser.add_argument(
        "--partitions", type=int, default=1, help="partitions of a new topic"
    )
    args = parser.parse_args()
    if args.count < 0:
        parser.error("--count is not 0 or more")
    if not 0 <= args.delay <= 86_400:
        parser.error("--delay is not between 0 and 86400 seconds")
    if args.partitions < 1:
        parser.error("--partitions is not 1 or more")
    return args


def main():
    """Sign users up. Exit status: 0 all published or stopped, 1 failed, 2 bad flag."""
    args = read_flags()
    if not __version__.startswith("2.3."):
        sys.exit("error: kafka-python 2.3 is needed: pip install -r requirements.txt")
    handle_signals(shut_down)
    atexit.register(forget_output)
    set_up_logging()
    say("starting producer")
    try:
        # Connect before the topic is created, so that the producer has time to get
        # ready. If the broker is far away, kafka-python 2.3 fails an earlier message.
        producer = connect()
        create_topic(args.topic, args.partitions)
    except Exception as error:
        logging.disable()  # our line is the last one
        sys.exit(f"error: cannot publish to {SERVERS}: {error!r}")
    published = publish(producer, args.topic, args.count, args.delay)
    with contextlib.suppress(errors.KafkaTimeoutError):
        producer.close(timeout=0)
    logging.disable()  # our line is the last one
    handle_signals(signal.SIG_IGN)  # Python takes our handler away when it ends
    say(f"Published {published} of {args.count} messages to topic {args.topic}")
    if failures:
        reason = type(next(iter(failures.values()))).__name__
        problem = f"error: not acknowledged ({reason}): {', '.join(failures)}"
        tried = published + len(failures)
        if tried < args.count:
            rest = f"the last {args.count - tried}, from user{tried}@gmail.com on"
            problem += f"; not sent: {rest}"
        sys.exit(problem)


if __name__ == "__main__":
    main()
