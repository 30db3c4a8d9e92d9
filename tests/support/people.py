"""The users: their addresses, and whom the lines of a script name."""

import ast
import collections
import re
import threading

parsing = threading.Lock()  # in Python 3.11, two threads at once are a SystemError


def users(*numbers):
    """Return the addresses that producer.py gives to these numbers."""
    return [f"user{number}@gmail.com" for number in numbers]


def emails(text, lines):
    """Return the emails in the lines that contain `text`."""
    found = [parse_emails(line) for line in list(lines) if text in line]
    return [email for line in found for email in line]


def parse_emails(line):
    """Return the emails in a line: a list of them, or those between its words."""
    if found := re.search(r"\[.*\]", line):
        with parsing:
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
