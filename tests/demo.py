"""Plays the tutorial, unattended, on a real broker: bash tests/demo.sh

A producer signs 10 users up. The streaming worker is stopped in the middle of one of
them. The batch worker of the same group takes over, and is stopped with users in its
buffer. Then the demo counts. Its exit status is 0 if every user was emailed, nobody
twice, and the group has nothing left to do.

It starts a Kafka of its own. If KAFKA_BOOTSTRAP_SERVERS names a broker, it uses that
one instead, and removes its topic at the end.

bash tests/demo.sh usual lets the programs of tests/usual/ and these scripts meet the
same trouble, always on a broker of its own, and counts the damage. Its exit status is 0
if every usual program did some, and none of ours did.
"""

import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from multiprocessing.pool import ThreadPool

import psutil
from broker import Broker, BrokerError  # lets us import from support/, too
from confluent_kafka import KafkaException
from people import tally, users
from scenes import SCENES
from script import BATCH, PRODUCER, STOPS, STREAMING, Script
from signups import SignUps

USERS = users(*range(10))
starting = threading.Lock()  # held for ever in the end: nothing more is started
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
    bootstrap, group = signups.bootstrap, signups.place(STREAMING)
    topic = signups.place(PRODUCER)
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


def launch(script, *flags, signups, **options):
    """Start a script on the topic of a scene."""
    with starting:
        options = {"bootstrap": signups.bootstrap, **options}
        return Script(script, *signups.place(script), *flags, **options)


def compare(scene, bootstrap):
    """Play a scene. Return the damage that the usual program did, and ours."""
    topics = [SignUps(bootstrap, scene.partitions) for _ in range(2)]
    return scene.play(topics, launch)


def play_usual(bootstrap):
    """Play all scenes at once. Return the verdict, and whether it is as expected."""
    say("the usual way and these scripts, side by side, in half a minute")
    rows, is_expected = [], True
    pool = ThreadPool(len(SCENES))  # its threads do not keep the demo from ending
    results = [pool.apply_async(compare, (scene, bootstrap)) for scene in SCENES]
    for scene, result in zip(SCENES, results):
        usual, ours = result.get()
        is_expected &= scene.is_promised(ours) and not scene.is_promised(usual)
        words = [describe(usual), describe(ours)]
        say(f"{scene.title}: tests/usual/{scene.usual}.py")
        for line in scene.why:
            say(f"    {line.strip()}")
        rows.append("{:<53} | {:<16} | {}".format(scene.title, *words))
    head = "{:<53} | {:<16} | {}".format("", "the usual way", "here")
    return "\n".join([head, *rows]), is_expected


def describe(damage):
    """Return the damage in words."""
    words = [f"{number} {what}" for what, number in damage.items()]
    return ", ".join(words) or "none"


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
    starting.acquire()
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
    if sys.argv[1:] not in ([], ["usual"]):
        print("error: the only argument is: usual", file=sys.stderr)
        return 2
    is_usual = bool(sys.argv[1:])
    for number in STOPS:
        signal.signal(number, interrupt)
    bootstrap, data, signups = os.environ.get("KAFKA_BOOTSTRAP_SERVERS"), None, None
    try:
        if is_usual or not bootstrap:
            data = tempfile.mkdtemp(prefix="demo-")
            say("starting Apache Kafka")
            broker = Broker(data)
            broker.start()
            bootstrap = broker.address
        if is_usual:
            result, is_expected = play_usual(bootstrap)
        else:
            signups = SignUps(bootstrap, partitions=0)
            result = play(signups)
            is_expected = result == PROMISE
    except (AssertionError, BrokerError, KafkaException, OSError) as error:
        result, is_expected = f"failed: {error}", False
    finally:
        clean_up(data, signups)
    for line in result.splitlines():
        say(line)
    return 0 if is_expected else 1


if __name__ == "__main__":
    sys.exit(main())
