"""The article, played unattended on a real broker in about 15 seconds: `bash tests/demo.sh`.

A producer signs 10 users up. The streaming worker is stopped in the middle of one of them, the
batch worker of the same group takes over and is stopped with users in its buffer. Then the demo
counts: exit status 0 if every user was emailed, none twice, and the group has nothing left to do.

It starts a Kafka of its own, or uses KAFKA_BOOTSTRAP_SERVERS and removes its topic at the end.
"""

import contextlib
import os
import shutil
import signal
import sys
import tempfile
import threading
import time

import psutil
from broker import Broker, BrokerError
from kafka.errors import KafkaError
from kit import BATCH, PRODUCER, STREAMING, Script, SignUps, tally, users

USERS = users(*range(10))
PROMISE = "10 of 10 users emailed, none twice, lag 0"
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
COLOURS = {PRODUCER: 33, STREAMING: 36, BATCH: 35, "demo": 32}
turn = threading.Lock()  # to print


def interrupt(number, _):
    """Signal handler: leave by way of clean_up(), which no further signal disturbs."""
    ignore_stops()
    sys.exit(128 + number)


def ignore_stops():
    for number in STOPS:
        signal.signal(number, signal.SIG_IGN)


def say(line, name="demo"):
    """Show a line and who says it. Output that is gone (head, terminal) is no reason to stop."""
    label = f"{name.partition('.')[0]:<16}  |"
    if sys.stdout.isatty():
        label = f"\033[{COLOURS[name]}m{label}\033[0m"
    with turn:
        try:
            print(label, line, flush=True)
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Actor(Script):
    """A script whose lines are shown as they come."""

    def read(self, stream, lines):
        with stream:
            for line in stream:
                say(line.rstrip("\n"), self.name)
                lines.append(line)

    def ended(self):
        """Wait for the end; return the exit status."""
        status = super().ended()
        say(f"exited with code {status}", self.name)
        return status


def play(signups):
    """Play the story; return the verdict."""

    def start(script, *flags):
        return Actor(script, "--topic", signups.topic, *flags, bootstrap=signups.bootstrap)

    producer = start(PRODUCER, "--count", len(USERS))
    producer.wait_for("Published message")
    streaming = start(STREAMING, "--group", signups.group)
    ends = [producer.ended()]
    streaming.wait_for(f"sending email to {USERS[3]}")
    say("pressing Ctrl+C five times in the middle of user3")
    for _ in range(5):
        time.sleep(0.1)  # a finger's pace: signals that come at once are merged into one
        streaming.send(signal.SIGINT)
    ends.append(streaming.ended())

    lag = signups.lag()
    say(f"lag {lag}, says the broker: the batch worker takes over")
    # The interval is too long for a flush before the signal.
    batch = start(BATCH, "--group", signups.group, "--interval", 60)
    batch.wait_for("received a message", lag)
    say(f"SIGTERM, with all {lag} users in its buffer")
    ends.append(batch.send(signal.SIGTERM).ended())
    return verdict([streaming, batch], ends, signups.log(), signups.lag())


def verdict(workers, ends, held, lag):
    """Return one line: who was emailed according to `workers`, and whatever else is not right."""
    emailed, finished = tally(*workers)
    twice = [user for user, times in emailed.items() if times > 1]
    line = f"{sum(user in finished for user in USERS)} of {len(USERS)} users emailed"
    line += f", {len(twice)} twice ({', '.join(twice)})" if twice else ", none twice"
    line += f", lag {lag}"
    if missing := sorted({*USERS, *emailed} - finished):
        line += f", not finished: {', '.join(missing)}"
    if sorted(held) != USERS:
        line += f", the topic holds {', '.join(held)}"
    return line + (f", exit codes {ends}" if any(ends) else "")


def clean_up(data, signups):
    """End every process that was started; remove the broker's `data`, or elsewhere the topic."""
    ignore_stops()
    children = psutil.Process().children()  # also one whose start was interrupted
    for child in children:
        with contextlib.suppress(psutil.NoSuchProcess):
            # On somebody's broker they leave their group; ours goes away with all it knows.
            child.kill() if data else child.terminate()
    for child in psutil.wait_procs(children, timeout=20)[1]:
        child.kill()
    if data:
        shutil.rmtree(data)
    elif signups:
        try:
            signups.remove()
        except KafkaError as error:
            say(f"could not remove {signups.topic} and its group: {error}")


def main():
    """Run the demo; return its exit status: 0 as promised, 1 if not. A signal: 128 + its number."""
    for number in STOPS:
        signal.signal(number, interrupt)
    bootstrap, data, signups = os.environ.get("KAFKA_BOOTSTRAP_SERVERS"), None, None
    try:
        if not bootstrap:
            data = tempfile.mkdtemp(prefix="demo-")
            say("starting Apache Kafka")
            broker = Broker(data)
            broker.start()
            bootstrap = broker.address
        signups = SignUps(bootstrap, partitions=0)
        result = play(signups)
    except (AssertionError, BrokerError, KafkaError, OSError) as error:
        result = f"failed: {error}"
    finally:
        clean_up(data, signups)
    say(result)
    return 0 if result == PROMISE else 1


if __name__ == "__main__":
    sys.exit(main())
