"""Scenes: a usual program and ours meet the same trouble at the same moment.

The demo shows them, and test_usual.py checks them.
"""

import collections
import contextlib
import dataclasses
import functools
import signal
from multiprocessing.pool import ThreadPool

from people import tally, users
from script import BATCH, PRODUCER, ROOT, STREAMING, quick, wait_until
from way import Way

KILL = signal.SIGKILL
FULL = ["--interval", 4, "--max-batch-size", 12]


@dataclasses.dataclass
class Scene:
    """A usual program, our script, and what happens to both of them."""

    title: str
    usual: str
    ours: str
    flags: list
    line: str = "received a message"  # it comes when they have printed this so often
    times: int = 12
    signal: int = None  # if it is none, the next worker is what comes
    is_committed: bool = False  # nor before the usual program has committed them all
    people: int = 12
    partitions: int = 1
    distance: float = 0  # seconds that each message is on its way to the broker

    def play(self, topics, start):
        """Play it on two topics. Return the damage: the usual way's, and ours."""
        names = [f"tests/usual/{self.usual}.py", self.ours]
        sides = [Side(self, *pair, start) for pair in zip(names, topics)]
        with ThreadPool(2) as pool:
            return pool.map(Side.play, sides)

    @property
    def why(self):
        """What the usual program does, in the sentences of its docstring."""
        path = ROOT / "tests" / "usual" / f"{self.usual}.py"
        docstring = path.read_text(encoding="utf-8").split('"""')[1]
        return docstring.split("\n\n")

    def is_promised(self, damage):
        """Tell whether the README promises no less: a crash may email users again."""
        return {*damage} <= ({"emailed twice"} if self.signal == KILL else set())


class Side:
    """One of the two programs, with a topic and a group of its own."""

    def __init__(self, scene, script, signups, start):
        self.scene, self.script, self.signups = scene, script, signups
        self.start = functools.partial(start, signups=signups)
        self.is_producer = scene.ours == PRODUCER
        self.expected = users(*range(scene.people))

    def play(self):
        """Play the scene, and return the damage."""
        self.begin()
        self.go_on()
        return self.damage()

    def begin(self):
        """Start the program, and at the moment let come what comes."""
        scene, count = self.scene, self.scene.partitions
        for partition in range(0 if self.is_producer else count):
            self.signups.publish(*self.expected[partition::count], partition=partition)
        way = Way(self.signups.bootstrap, scene.distance).bootstrap
        self.first = self.start(self.script, *scene.flags, bootstrap=way)
        self.first.wait_for(scene.line, scene.times)
        if scene.is_committed and self.script != scene.ours:
            self.signups.wait_until_done()
        if scene.signal:
            self.first.send(scene.signal)
        else:
            self.start_next()
        if scene.signal or self.is_producer:
            end(self.first)

    def start_next(self):
        """Start another worker of the same kind."""
        ours = STREAMING if self.is_producer else self.scene.ours
        script = ours if self.is_producer else self.script
        self.next = self.start(script, *quick(ours))

    def go_on(self):
        """Let the next worker go on until those who sign up last are done."""
        if self.scene.signal:
            self.start_next()
        last = users(*range(9000, 9000 + self.scene.partitions))
        for partition, user in enumerate(last):
            self.signups.publish(user, partition=partition)
        self.workers = [self.next] if self.is_producer else [self.first, self.next]
        text = f"updating user {last[0]}" if self.is_producer else "updating"
        self.next.wait_for(text)
        wait_until(lambda: {*last} <= tally(*self.workers)[1], f"the end of {last}")
        for worker in self.workers:
            end(worker.send(signal.SIGTERM))

    def damage(self):
        """Return how many users were lost, left half done, or emailed twice."""
        emailed, finished = tally(*self.workers)
        counts = collections.Counter()
        for user in self.expected:
            counts["lost"] += emailed[user] == 0
            counts["half done"] += emailed[user] > 0 and user not in finished
            counts["emailed twice"] += emailed[user] > 1
        return {what: number for what, number in counts.items() if number}


def end(worker):
    """Wait for a worker that was stopped. After 10 seconds kill it, as Docker does."""
    with contextlib.suppress(AssertionError):
        worker.ended(seconds=10)
    worker.kill()


SCENES = [
    Scene(
        "kill -9 with 12 users in the buffer",
        "automatic_commits",
        BATCH,
        ["--interval", 600],
        signal=KILL,
        is_committed=True,
    ),
    Scene(
        "kill -9 in the middle of a user",
        "commit_before_work",
        STREAMING,
        ["--work-seconds", 1],
        line="sending email",
        times=2,
        signal=KILL,
    ),
    Scene(
        "Ctrl+C in the middle of a user",
        "no_handler",
        STREAMING,
        ["--work-seconds", 1],
        line="sending email",
        times=2,
        signal=signal.SIGINT,
    ),
    Scene(
        "Ctrl+C in the middle of a batch of 12",
        "handler_flushes",
        BATCH,
        [*FULL, "--work-seconds", 1],
        line="sending email",
        times=1,
        signal=signal.SIGINT,
    ),
    Scene(
        "docker stop with 12 users in the buffer",
        "closes_too_early",
        BATCH,
        ["--interval", 600, "--work-seconds", 0],
        signal=signal.SIGTERM,
    ),
    Scene(
        "a second worker joins in the middle of a batch of 12",
        "polls_during_work",
        BATCH,
        [*FULL, "--work-seconds", 4],
        line="sending email",
        times=1,
        partitions=2,
    ),
    Scene(
        "a producer ends, far away from its broker",
        "impatient_producer",
        PRODUCER,
        ["--count", 4000, "--delay", 0],
        line="Published message",
        times=4000,
        people=4000,
        distance=0.4,
    ),
]
