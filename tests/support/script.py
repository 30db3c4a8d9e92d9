"""Script: one of the scripts in a process of its own, and what it has printed."""

import ast
import collections
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).parents[2]
ALTERED = ROOT / "tests" / "support" / "altered"
PRODUCER = "producer.py"
STREAMING = "streaming_worker.py"
BATCH = "batch_worker.py"
WORKERS = [STREAMING, BATCH]
SCRIPTS = [PRODUCER, STREAMING, BATCH]
FAREWELL = "End of the program. I was killed gracefully"
POSIX = os.name == "posix"
STOPS = (  # Windows can send only this one to a single process
    [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]
    if POSIX
    else [signal.CTRL_BREAK_EVENT]
)
LIMIT = 60  # seconds that a fact may take to come true


def wait_until(fact, what, seconds=LIMIT):
    """Return the first true value of `fact()`. After `seconds`, fail, naming `what`."""
    deadline = time.monotonic() + seconds
    while not (value := fact()):
        assert time.monotonic() < deadline, f"waited {seconds} s in vain for {what}"
        time.sleep(0.02)
    return value


def users(*numbers):
    """Return the addresses that producer.py gives to these numbers."""
    return [f"user{number}@gmail.com" for number in numbers]


def quick(script, interval=0.2):
    """Return flags with which a script does not pretend to work, or to wait."""
    if script == PRODUCER:
        return ["--delay", 0]
    return ["--work-seconds", 0, *(["--interval", interval] if script == BATCH else [])]


class Script:
    """A script in a process of its own. It collects the lines as they are printed.

    `altered` names a program in support/altered that is run instead. It gets the name
    of the script's module, changes something in that module and calls its main().
    """

    def __init__(
        self, script, *arguments, bootstrap, altered=None, env=(), **popen_options
    ):
        command = [sys.executable, ROOT / script]
        if altered:
            command[1:] = [ALTERED / f"{altered}.py", script.removesuffix(".py")]
        self.name = script
        self.out, self.err, self.timeline = [], [], []
        self.process = subprocess.Popen(
            [str(word) for word in [*command, *arguments]],
            env={**environment(bootstrap), **{k: str(v) for k, v in dict(env).items()}},
            **{
                "stdin": subprocess.DEVNULL,
                "stdout": subprocess.PIPE,
                "stderr": subprocess.PIPE,
                "cwd": ROOT,
                "encoding": "utf-8",
                "start_new_session": True,
                "creationflags": 0 if POSIX else subprocess.CREATE_NEW_PROCESS_GROUP,
                **popen_options,
            },
        )
        streams = (self.process.stdout, self.out), (self.process.stderr, self.err)
        self.readers = [
            threading.Thread(target=self.read, args=pair, daemon=True)
            for pair in streams
            if pair[0]
        ]
        for reader in self.readers:
            reader.start()

    def read(self, stream, lines):
        """Collect the lines of a stream until its end."""
        with stream:
            for line in stream:
                lines.append(line)
                self.timeline.append((time.monotonic(), line))

    def count(self, text):
        """Return how many lines of the standard output contain `text` so far."""
        return count(text, self.out)

    def wait_for(self, text, times=1, seconds=LIMIT):
        """Wait until so many lines of the standard output contain `text`."""
        self.wait_in(self.out, text, times, seconds)

    def wait_for_error(self, text, times=1, seconds=LIMIT):
        """Wait until so many lines of the standard error contain `text`."""
        self.wait_in(self.err, text, times, seconds)

    def wait_in(self, lines, text, times, seconds):
        """Wait for lines with `text`. If the script ends without them, fail at once."""

        def is_seen_or_over():
            is_over = self.process.poll() is not None
            if is_over:
                self.join()
            return count(text, lines) >= times or is_over

        what = f"{times}x {text!r} of {self.name}"
        wait_until(is_seen_or_over, what, seconds)
        assert count(text, lines) >= times, f"the script ended without {what}\n{self}"

    def send(self, *signals):
        """Send these signals, one after the other."""
        for number in signals:
            self.process.send_signal(number)
        return self

    def join(self):
        """Wait for the end of the output."""
        for reader in self.readers:
            reader.join(LIMIT)

    def ended(self, seconds=LIMIT):
        """Wait for the end of the process and its output. Return the exit status."""
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {seconds} s: {self}") from None
        self.join()
        return status

    def stop(self, number=STOPS[0]):
        """Stop the script gracefully: its exit status must be 0."""
        status = self.send(number).ended()
        assert status == 0, f"exit status {status}\n{self}"

    def kill(self):
        """End the process at once, as `kill -9` and a power cut do."""
        self.process.kill()
        self.ended()

    @property
    def begun(self):
        """The users to whom an email was sent, in order."""
        return self.emails("sending email to")

    @property
    def finished(self):
        """The users whose work was finished, in order."""
        updated, finished = [], []
        for line in list(self.out):
            if line.startswith("updating"):
                updated = parse_emails(line)
            elif line.startswith("finished processing"):
                finished += updated
        return finished

    @property
    def published(self):
        """The users whom the producer called published, in order."""
        return self.emails("Published message")

    @property
    def unacknowledged(self):
        """The users whom the producer called not acknowledged, in order."""
        lines = [line for line in self.err if "not acknowledged: " in line]
        return [email for line in lines for email in parse_emails(line)]

    @property
    def problems(self):
        """The lines of the standard error that report a warning or an error."""
        words = re.compile("WARNING|ERROR|error:|Traceback")
        return [line for line in self.err if words.search(line)]

    def emails(self, prefix):
        lines = [line for line in list(self.out) if line.startswith(prefix)]
        return [email for line in lines for email in parse_emails(line)]

    def __str__(self):
        out = [line.rstrip() for line in self.out[-30:]]
        err = [line.rstrip() for line in self.err[-30:]]
        return "\n".join([f"-- {self.name}", *out, "-- its standard error", *err])


def environment(bootstrap):
    """Return our environment as a script gets it: without what would alter it."""
    is_named = bootstrap == os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
    return {
        **{
            name: value
            for name, value in os.environ.items()
            if name != "PYTHONUNBUFFERED"
            and (is_named or not name.startswith("KAFKA_"))
        },
        "KAFKA_BOOTSTRAP_SERVERS": bootstrap,
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": str(ROOT),
    }


def count(text, lines):
    return sum(text in line for line in list(lines))


def parse_emails(line):
    """Return the emails in a line: a list of them, or those between its words."""
    if found := re.search(r"\[.*\]", line):
        return ast.literal_eval(found[0])
    return [word.rstrip(",") for word in line.split() if "@" in word]


def tally(*scripts):
    """Return how often each user was emailed, and the users whose work was finished."""
    emailed = collections.Counter(email for script in scripts for email in script.begun)
    return emailed, {email for script in scripts for email in script.finished}


def assert_each_once(expected, *scripts):
    """Check the promise of a graceful stop: nobody is lost, nobody is emailed twice."""
    emailed, finished = tally(*scripts)
    assert sorted(finished) == sorted(expected), "lost or unknown users"
    assert [email for email, times in emailed.items() if times > 1] == [], "twice"
    assert sorted(emailed) == sorted(expected), "begun, but not finished"
