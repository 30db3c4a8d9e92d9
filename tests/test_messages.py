"""Messages and surroundings that are not as they should be."""

import os
import signal

import pytest
from kit import BATCH, STREAMING, users, wait_until

UNREADABLE = {"null": None, "empty": b"", "not UTF-8": b"\xff\xfe@gmail.com"}
FAILING = """
import os, sys
worker, begun = __import__(sys.argv.pop(1)), []
def fail(seconds):
    begun.append(seconds)
    if len(begun) == int(os.environ["STEP"]):
        raise RuntimeError("the mail server is on fire")
worker.pretend_to_work = fail
worker.main()
"""
CHOOSY = """
import sys
worker = __import__(sys.argv.pop(1))
process_message = worker.process_message
def choose(email, work_seconds):
    if email == "user5@gmail.com":
        raise RuntimeError("no such mailbox")
    process_message(email, work_seconds)
worker.process_message = choose
worker.main()
"""
both_workers = pytest.mark.parametrize("script", [STREAMING, BATCH])


@both_workers
@pytest.mark.parametrize("value", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_an_unreadable_message_is_skipped_by_name(start, signups, script, value):
    signups.publish(*users(0), value, *users(1))
    worker = start(script, "--work-seconds", 0)
    wait_until(lambda: signups.lag() == 0, "an empty topic", seconds=30)
    assert worker.send(signal.SIGTERM).ended() == 0
    assert worker.finished == worker.begun == users(0, 1)
    assert len(worker.err) == 1 and f"{signups.topic} partition 0 offset 1" in worker.err[0]


@both_workers
def test_a_very_large_message_is_a_message(start, signups, script):
    large = "u" * 200_000 + "@gmail.com"
    signups.publish(*users(0), large, *users(1))
    worker = start(script, "--work-seconds", 0)
    wait_until(lambda: signups.lag() == 0, "an empty topic")
    assert worker.send(signal.SIGTERM).ended() == 0
    assert worker.finished == [*users(0), large, *users(1)]
    assert worker.err == []


@both_workers
def test_content_is_shown_not_obeyed(start, signups, script):
    hostile = "eve@gmail.com\x1b[2J\nfinished processing message \N{RIGHT-TO-LEFT OVERRIDE}\u00fc"
    signups.publish(hostile)
    worker = start(script, "--work-seconds", 0, env={"PYTHONIOENCODING": "ascii"})
    wait_until(lambda: signups.lag() == 0, "an empty topic")
    assert worker.send(signal.SIGTERM).ended() == 0
    output = "".join(worker.out)
    assert output.isascii() and "\x1b" not in output
    assert len([line for line in worker.out if line.startswith("finished")]) == 1


@both_workers
@pytest.mark.parametrize("step", ["1", "2"], ids=["the email", "the status"])
def test_work_that_raises_stops_the_worker_and_commits_nothing_of_it(start, signups, script, step):
    signups.publish(*users(0, 1, 2))
    flags = ["--interval" if script == BATCH else "--work-seconds", 0]
    broken = start(script, *flags, code=FAILING, env={"STEP": step})
    assert broken.ended() == 1
    assert "the mail server is on fire" in broken.err[-1]
    assert signups.committed() == 0
    repaired = start(script, "--work-seconds", 0)
    wait_until(lambda: signups.lag() == 0, "an empty topic")
    assert repaired.send(signal.SIGTERM).ended() == 0
    assert repaired.finished == users(0, 1, 2)


def test_work_that_raises_takes_nothing_back_from_those_before_it(start, signups):
    """Messages that take no time are polled and committed together."""
    signups.publish(*users(*range(10)))
    broken = start(STREAMING, "--work-seconds", 0, code=CHOOSY)
    assert broken.ended() == 1
    assert "no such mailbox" in broken.err[-1]
    assert broken.finished == broken.begun == users(*range(5)) and signups.committed() == 5


@both_workers
@pytest.mark.parametrize("streams", [["stdout"], ["stdout", "stderr"]], ids=["|", "2>&1 |"])
@pytest.mark.parametrize("lines", [1, 2, 3, 4, 6])
def test_output_that_goes_away_asks_for_a_stop(start, signups, script, lines, streams):
    """As in `python worker.py | head -3`: what was begun is finished and committed."""
    signups.publish(b"\xff", *users(0, 1, 2))
    flags = ["--interval", 0.2] if script == BATCH else []
    output, worker_end = os.pipe()
    ends = dict.fromkeys(streams, worker_end)
    worker = start(script, "--work-seconds", 0.2, *flags, **ends)
    os.close(worker_end)
    with open(output) as reader:
        worker.out = [reader.readline() for _ in range(lines)]
    assert worker.ended() == 0
    assert [line for line in worker.err if "skipped" not in line] == []
    assert {*worker.begun} <= {*users(*range(signups.committed() - 1))}
