"""A terminal with a person in front of it, who types, reads and presses Ctrl+C."""

import os
import pathlib
import re
import sys
import time

import pexpect
import psutil
from script import LIMIT

PATH = f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
SHELL = "bash --norc --noprofile --noediting"
PROMPT = "$ "
KEYS = re.compile(r"\^([C\\])")
ELISION = "..."
OF_KAFKA_PYTHON = re.compile(r"(INFO|WARNING|ERROR):kafka\.")  # may appear at any time
KEY_SECONDS = 0.07  # between two key presses: the system merges signals that are closer


def pattern(line):
    """Return the regular expression of a line. `...` in it stands for any text."""
    return re.escape(line).replace(re.escape(ELISION), ".*")


def shape(line):
    """Return the line with `#` in the place of each number."""
    return re.sub(r"\d+", "#", line)


class Terminal:
    """A pseudo-terminal that runs bash."""

    def __init__(self, cwd, env):
        self.shell = pexpect.spawn(
            SHELL,
            cwd=str(cwd),
            env={**env, "PS1": PROMPT, "TERM": "xterm-256color"},
            dimensions=(24, 200),
            encoding="utf-8",
            timeout=LIMIT,
        )
        self.skipped = []

    def close(self):
        """Close the window, and wait until everything in it has ended."""
        processes = psutil.Process(self.shell.pid).children(recursive=True)
        self.shell.close(force=True)
        for process in psutil.wait_procs(processes, timeout=LIMIT)[1]:
            process.kill()

    def read(self, seconds=LIMIT):
        """Return the next line without the keys in it, or the prompt. None if late."""
        prompt = rf"^({KEYS.pattern})*{re.escape(PROMPT)}"
        ends = [r"\r\n", prompt, pexpect.TIMEOUT, pexpect.EOF]
        found = self.shell.expect(ends, timeout=seconds)
        if found > 1:
            return None
        line = KEYS.sub("", self.shell.before).replace(" (core dumped)", "")
        return PROMPT if found == 1 else line

    def play(self, transcript, pause=0):
        """Do what the transcript says. Fail if the terminal shows anything else.

        Type what follows `$ `, and press ^C and ^\\. Read for `pause` seconds before,
        and before a key when nothing more appears.
        """
        time.sleep(pause)
        is_skipping = False
        for line in transcript.splitlines():
            if line == ELISION:
                is_skipping = True
                continue
            keys = KEYS.findall(line)
            if keys and is_skipping:
                while (found := self.read(seconds=2)) is not None:
                    self.skip(found)
                time.sleep(pause)
                is_skipping = False
            for key in keys:
                time.sleep(KEY_SECONDS)
                self.shell.sendcontrol(key.lower())
            if line.startswith(PROMPT):
                self.expect(PROMPT)
                line = line[len(PROMPT) :]
                self.shell.send(line + "\n")
            self.expect(KEYS.sub("", line), is_skipping)
            is_skipping = False

    def skip(self, line):
        """Remember a line that `...` stands for."""
        if not OF_KAFKA_PYTHON.match(line):
            self.skipped.append(line)

    def expect(self, line, is_skipping=False):
        """Wait for a line or the prompt. What comes before it must be skippable."""
        while (found := self.read()) is not None:
            if re.fullmatch(pattern(line), found):
                return
            may_come = is_skipping or OF_KAFKA_PYTHON.match(found)
            assert may_come, f"expected {line!r}, found {found!r}"
            self.skip(found)
        raise AssertionError(f"no {line!r}, but {self.shell.buffer!r}")
