"""Script: one of the scripts in a process of its own, and what it has printed."""

import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time

from people import emails, parse_emails

ROOT = pathlib.Path(__file__).parents[2]
ALTERED = ROOT / "tests" / "support" / "altered"
PRODUCER = "producer.py"
STREAMING = "streaming_worker.py"
BATCH = "batch_worker.py"
WORKERS = [STREAMING, BATCH]
SCRIPTS = [PRODUCER, STREAMING, BATCH]
NOT_COMMITTED = "not committed, will be handled again: "
FAREWELL = "End of the program. I was killed gracefully"
POSIX = os.name == "posix"
STOPS = (  # Windows can send only this one to a single process
    [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]
    if POSIX
    else [signal.CTRL_BREAK_EVENT]
)
LIMIT = 60  # seconds that a fact may take to come true
RECOVERED = re.compile(  # kafka-python says it, most often over TLS 1.3, and goes on
    "EVENT_READ without in-flight-requests|connection failed -- refreshing metadata"
)


def wait_until(fact, what, seconds=LIMIT):
    """Return the first true value of `fact()`. After `seconds`, fail, naming `what`."""
    deadline = time.monotonic() + seconds
    while not (value := fact()):
        assert time.monotonic() < deadline, f"waited {seconds} s in vain for {what}"
        time.sleep(0.02)
    return value


def pace(script, work_seconds, interval=0.2):
    """Return flags that make each of the two steps of a worker's work last so long."""
    flags = ["--work-seconds", work_seconds]
    return [*flags, "--interval", interval] if script == BATCH else flags


def quick(script, interval=0.2):
    """Return flags with which a script does not pretend to work, or to wait."""
    return ["--delay", 0] if script == PRODUCER else pace(script, 0, interval)


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

    def wait_for(self, text, times=1, seconds=LIMIT, lines=None):
        """Wait for lines with `text`. If the script ends without them, fail at once."""
        lines = self.out if lines is None else lines
        what = f"{times}x {text!r} of {self.name}"

        def is_seen_or_over():
            if is_over := self.process.poll() is not None:
                self.join()
            return count(text, lines) >= times or is_over

        wait_until(is_seen_or_over, what, seconds)
        assert count(text, lines) >= times, f"the script ended without {what}\n{self}"

    def wait_for_error(self, text, times=1):
        """Wait for lines of the standard error."""
        self.wait_for(text, times, lines=self.err)

    def wait_for_silence(self, seconds):
        """Wait until the script has printed nothing for so long."""
        is_silent = lambda: time.monotonic() - self.timeline[-1][0] > seconds  # noqa: E731
        wait_until(is_silent, f"{seconds} s of silence of {self.name}")

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

    def stop(self, *signals, seconds=LIMIT):
        """Stop the script gracefully: its exit status must be 0."""
        status = self.send(*(signals or STOPS[:1])).ended(seconds)
        assert status == 0, f"exit status {status}\n{self}"

    def failed(self, *words, seconds=LIMIT):
        """Wait for exit status 1, and a last line `error: ...` with these words."""
        assert self.ended(seconds) == 1, self
        assert "Traceback" not in "".join(self.err), self
        assert self.err[-1].startswith("error: "), self
        assert [word for word in words if word not in self.err[-1]] == [], self

    def kill(self):
        """End the process at once, as `kill -9` and a power cut do."""
        self.process.kill()
        self.ended()

    @property
    def begun(self):
        """The users to whom an email was sent, in order."""
        return emails("sending email to", self.out)

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
        return emails("Published message", self.out)

    @property
    def unacknowledged(self):
        """The users whom the producer called not acknowledged, in order."""
        return emails("not acknowledged (", [s.partition(";")[0] for s in self.err])

    @property
    def problems(self):
        """The lines of the standard error that report what did not mend itself."""
        words = re.compile("WARNING|ERROR|error:|Traceback")
        lines = [line for line in self.err if not RECOVERED.search(line)]
        return [line for line in lines if words.search(line)]

    @property
    def repeated(self):
        """The lines of the standard error that say again what another one said."""
        kinds = [re.sub(r"[\d.]+ (ms|secs)", "", line) for line in self.err]
        return [kind for kind in {*kinds} if kinds.count(kind) > 1]

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
            if name not in ("PYTHONUNBUFFERED", "PYTEST_XDIST_WORKER")
            and (is_named or not name.startswith("KAFKA_"))
        },
        "KAFKA_BOOTSTRAP_SERVERS": bootstrap,
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": str(ROOT),
    }


def count(text, lines):
    return sum(text in line for line in list(lines))
