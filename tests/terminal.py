"""A terminal with a person in front of it: types commands, reads lines, presses keys."""

import re
import resource
import time

import pexpect
import psutil
from kit import LIMIT

PROMPT = "$ "
KEYS = re.compile(r"\^([C\\])")
ELISION = "..."
KEY_SECONDS = 0.07  # between two presses of Ctrl+C; signals that come at once are merged into one


def pattern(line):
    """Return the regular expression for a line of a transcript; `...` in it stands for anything."""
    return re.escape(line).replace(re.escape(ELISION), ".*")


def shape(line):
    """Return the line without its numbers."""
    return re.sub(r"\d+", "#", line)


class Terminal:
    """bash in a pseudo-terminal, or the `command` that shows one, in the environment `env`."""

    def __init__(self, cwd, env, command="bash --norc --noprofile --noediting", size=(24, 200)):
        self.shell = pexpect.spawn(
            command,
            cwd=str(cwd),
            env={**env, "PS1": PROMPT, "TERM": "xterm-256color"},
            dimensions=size,
            encoding="utf-8",
            timeout=LIMIT,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (0, 0)),
        )
        self.process = psutil.Process(self.shell.pid)
        self.skipped = []

    def close(self):
        """Close the window: SIGHUP for whatever runs in it. Wait for the end of all of it."""
        processes = self.process.children(recursive=True) if self.process.is_running() else []
        self.shell.close(force=True)
        for process in psutil.wait_procs(processes, timeout=LIMIT)[1]:
            process.kill()

    def read(self, seconds=LIMIT):
        """Return the next line without the keys that were pressed, or the prompt; None if late."""
        ends = [r"\r\n", rf"^({KEYS.pattern})*{re.escape(PROMPT)}", pexpect.TIMEOUT, pexpect.EOF]
        end = self.shell.expect(ends, timeout=seconds)
        if end > 1:
            return None
        return PROMPT if end else KEYS.sub("", self.shell.before).replace(" (core dumped)", "")

    def play(self, transcript, pace=0):
        """Do what the transcript says; fail if the terminal shows anything else.

        Whatever follows `$ ` is typed, one key every `pace` seconds; ^C and ^\\ are pressed.
        """
        is_skipping = False
        for line in transcript.splitlines():
            if line == ELISION:
                is_skipping = True
                continue
            keys = KEYS.findall(line)
            if keys and is_skipping:
                while (found := self.read(seconds=2)) is not None:  # until all is quiet
                    self.skipped.append(found)
                is_skipping = False
            for key in keys:
                time.sleep(KEY_SECONDS)
                self.shell.sendcontrol(key.lower())
            if line.startswith(PROMPT):
                self.expect(PROMPT, is_skipping)
                line = line[len(PROMPT) :]
                for key in line + "\n":
                    time.sleep(pace)
                    self.shell.send(key)
                is_skipping = False
            self.expect(KEYS.sub("", line), is_skipping)
            is_skipping = False

    def expect(self, line, is_skipping=False):
        """Wait for a line, or the prompt; nothing else may come before it, unless it is skipped."""
        while True:
            found = self.read()
            if found is not None and re.fullmatch(pattern(line), found):
                return
            rest = self.shell.buffer
            assert is_skipping and found is not None, f"expected {line!r}: {found!r} {rest!r}"
            self.skipped.append(found)
