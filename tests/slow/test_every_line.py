"""A signal, or an exception, at every line of a script that a run reaches.

It comes where the line begins. If the line is visited again, a signal comes at its
second and at its fifth visit, too. A failure names each of its places, for example
batch_worker.py:83:2:SIGTERM, the second visit to line 83. Repeat it, or the whole line:
bash tests/run.sh tests/slow/test_every_line.py --all --place batch_worker.py:83:
"""

import concurrent.futures
import contextlib
import json
import linecache
import os
import select
import signal
import subprocess
import sys

import pytest
from people import users
from script import ALTERED, BATCH, PRODUCER, ROOT, STREAMING, Output, environment
from signups import SignUps

PLACES = {  # a sweep reaches at least so many, 1,500 in all
    ("SIGTERM", BATCH): 300,
    ("SIGTERM", STREAMING): 220,
    ("SIGTERM", PRODUCER): 170,
    ("SIGKILL", BATCH): 300,
    ("SIGKILL", STREAMING): 220,
    ("exception", BATCH): 160,
    ("exception", STREAMING): 130,
}
VISITS = {"SIGTERM": (1, 2, 5), "SIGKILL": (1, 2, 5), "exception": (1,)}
MESSAGES = [*users(*range(8)), None, *users(*range(8, 16))]  # None is no email
FLAGS = {
    PRODUCER: ["--count", "1000", "--delay", "0.005"],
    STREAMING: ["--work-seconds", "0.002"],
    BATCH: ["--work-seconds", "0.002", "--interval", "0.1", "--max-batch-size", "3"],
}
REACHED = "the place is reached\n"
AT_ONCE = 3  # runs


def starter(script, bootstrap):
    """Return a process that runs the script as often as it is asked to."""
    return subprocess.Popen(
        [sys.executable, ALTERED / "signal_at_line.py", ROOT / script],
        bufsize=0,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment(bootstrap),
        cwd=ROOT,
        start_new_session=True,
    )


class Run(Output):
    """A run of a script. A signal comes at the place, or else when all is done."""

    def __init__(self, script, signups, starter, directory, place):
        super().__init__(script)
        self.signups, self.starter = signups, starter
        self.files = [directory / f"{starter.pid}.{name}" for name in ("out", "err")]
        for file in self.files:
            file.write_text("")
        flags = [*signups.place(script), *FLAGS[script]]
        request = json.dumps([flags, [*map(str, self.files)], place])
        starter.stdin.write(f"{request}\n".encode())
        process = int(starter.stdout.readline())
        try:
            for _ in range(500):
                if self.has_ended(seconds=0.02) or self.is_done():
                    break
        finally:
            for number in signal.SIGTERM, signal.SIGKILL:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, number)
                if self.has_ended(seconds=20):
                    break
            self.status = int(starter.stdout.readline())
        self.out, self.err = [
            file.read_text().splitlines(keepends=True) for file in self.files
        ]
        self.was_hit = REACHED in self.out
        self.later = Output(script)
        if self.was_hit:
            place = self.out.index(REACHED)
            self.out, self.later.out = self.out[:place], self.out[place + 1 :]
            self.is_working = self.has_begun()
            self.out += self.later.out

    def has_ended(self, seconds):
        """Wait so long for the end of the run."""
        return select.select([self.starter.stdout], [], [], seconds)[0]

    def is_done(self):
        """Tell whether the last user is published, or handled and committed."""
        if MESSAGES[-1] not in self.files[0].read_text():
            return False
        return self.name == PRODUCER or self.signups.committed() == len(MESSAGES)

    def has_begun(self):
        """Tell whether the work has begun and is not finished yet."""
        first = {STREAMING: "sending email", BATCH: "flushing"}.get(self.name, "?")
        return self.count(first) > self.count("finished processing")

    def check_that_nobody_is_begun(self):
        """After the signal, only whoever was in hand, or in the buffer, is begun.

        Unless there is work in hand, a message, or what makes the buffer full, may come
        before the system has told the main thread of the signal.
        """
        received = self.later.count("received a message")
        full = 3 + MESSAGES.count(None)
        if self.name == STREAMING:
            assert len(self.later.begun) <= (0 if self.is_working else 1)
        elif self.name == BATCH:
            assert received <= (0 if self.is_working else full)

    def check(self, name):
        """Nobody is lost. If the status is 0, all that was begun is done."""
        if self.name == PRODUCER:
            is_created = self.signups.topic in self.signups.topics()
            assert self.published == (self.signups.log() if is_created else [])
            if is_created:
                self.signups.ask("delete_topics", [self.signups.topic])
        else:
            committed = self.signups.committed()
            done = [message for message in MESSAGES[:committed] if message]
            assert {*done} <= {*self.finished}
            if self.status == 0:
                assert self.begun == self.finished == done
                assert self.count("received a message") <= committed
        if name == "SIGTERM" and self.was_hit:
            self.check_that_nobody_is_begun()
        if name == "SIGTERM":
            is_starting = not self.out  # and may have no handler yet
            assert self.status == 0 or (is_starting and self.status == -signal.SIGTERM)
            assert "Traceback" not in "".join(self.err)
            assert self.signups.members() == []


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("name", "script"), PLACES)
def test_a_signal_at_every_line(signups, tmp_path, request, name, script):
    signups.publish(*MESSAGES)
    failures = []

    def describe(line, visit):
        text = linecache.getline(str(ROOT / script), line)
        return f"{script}:{line}:{visit}:{name} {text}"

    def run(process, line=0, visit=0):
        """Run the script, with a topic or a group of its own."""
        with contextlib.closing(SignUps(signups.bootstrap, 0)) as own:
            if script != PRODUCER:
                own.topic = signups.topic
            run = Run(script, own, process, tmp_path, [line, visit, name])
            try:
                run.check(name if run.was_hit else "SIGTERM")
            except AssertionError as error:
                failures.append(f"{describe(line, visit)}{error}\n{run}")
        return run

    def sweep(places):
        """Return how many of the places were reached, in one of two tries."""
        with starter(script, signups.bootstrap) as process:
            return sum(
                run(process, *place).was_hit or run(process, *place).was_hit
                for place in places
                if len(failures) < 5
            )

    with starter(script, signups.bootstrap) as process:
        first = run(process)
    assert not failures, failures[0]
    places = [
        (int(line), visit)
        for line, most in json.loads(first.err[-1]).items()
        for visit in VISITS[name]
        if visit <= most
    ]
    wanted = request.config.option.place
    places = [place for place in places if describe(*place).startswith(wanted)]
    if not places:
        pytest.skip(f"no place begins with {wanted}")
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        reached = sum(pool.map(sweep, [places[n::AT_ONCE] for n in range(AT_ONCE)]))
    print(f"{name} at {reached} of {len(places)} places of {script}")
    assert not failures, "\n\n".join(failures)
    assert wanted or reached >= PLACES[name, script]
