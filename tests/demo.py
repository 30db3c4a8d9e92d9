"""Plays the tutorial, unattended, on a real broker: bash tests/demo.sh

A producer signs 10 users up. The streaming worker is stopped in the middle of one of
them. The batch worker of the same group takes over, and is stopped with users in its
buffer. Then the demo counts. Its exit status is 0 if every user was emailed, nobody
twice, and the group has nothing left to do.

It starts a Kafka of its own. If KAFKA_BOOTSTRAP_SERVERS names a broker, it uses that
one instead, and removes its topic at the end.
"""

import os
import shutil
import signal
import sys
import tempfile
import time

import psutil
from broker import Broker, BrokerError  # lets us import from support/, too
from confluent_kafka import KafkaException
from people import tally, users
from script import BATCH, PRODUCER, STOPS, STREAMING, Script
from signups import SignUps

USERS = users(*range(10))
PROMISE = "10 of 10 users emailed, none twice, lag 0"


def interrupt(number, _):
    """Signal handler: end by way of clean_up(), which no other signal interrupts."""
    ignore_stops()
    sys.exit(128 + number)


def ignore_stops():
    for number in STOPS:
        signal.signal(number, signal.SIG_IGN)


def say(line, name="demo"):
    """Show a line and who printed it. If nobody reads our output, go on without it."""
    text = f"{name.partition('.')[0]:<16}  | {line}\n"
    try:
        print(text, end="", flush=True)  # in one piece, because several threads print
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Actor(Script):
    """A script whose lines we show as they come."""

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
    bootstrap, topic = signups.bootstrap, ["--topic", signups.topic]
    group = [*topic, "--group", signups.group]
    producer = Actor(PRODUCER, *topic, "--count", len(USERS), bootstrap=bootstrap)
    producer.wait_for("Published message")
    streaming = Actor(STREAMING, *group, bootstrap=bootstrap)
    ends = [producer.ended()]
    streaming.wait_for(f"sending email to {USERS[3]}")
    say("pressing Ctrl+C five times in the middle of user3")
    for _ in range(5):
        time.sleep(0.1)  # the system merges signals that come at once into one
        streaming.send(signal.SIGINT)
    ends.append(streaming.ended())

    lag = signups.lag()
    say(f"lag {lag}, says the broker: the batch worker takes over")
    # The interval is so long that no flush comes before the signal.
    batch = Actor(BATCH, *group, "--interval", 60, bootstrap=bootstrap)
    batch.wait_for("received a message", lag)
    say(f"SIGTERM, with all {lag} users in its buffer")
    ends.append(batch.send(signal.SIGTERM).ended())
    return verdict([streaming, batch], ends, signups.log(), signups.lag())


def verdict(workers, ends, held, lag):
    """Say in one line who was emailed, and anything that is not as promised."""
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
    """End every process that we started. Remove our broker's data, or our topic."""
    ignore_stops()
    children = psutil.Process().children()
    for child in children:
        # On a broker that is not ours, the workers have to leave their group.
        child.kill() if data else child.terminate()
    for child in psutil.wait_procs(children, timeout=20)[1]:
        child.kill()
    if data:
        shutil.rmtree(data)
    elif signups:
        try:
            signups.remove()
        except KafkaException as error:
            say(f"could not remove {signups.topic} and its group: {error}")


def main():
    """Run the demo. Exit status: 0 as promised, 1 if not, 128 + number for a signal."""
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
    except (AssertionError, BrokerError, KafkaException, OSError) as error:
        result = f"failed: {error}"
    finally:
        clean_up(data, signups)
    say(result)
    return 0 if result == PROMISE else 1


if __name__ == "__main__":
    sys.exit(main())
