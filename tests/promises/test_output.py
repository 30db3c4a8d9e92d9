"""Lost output stops nothing: the line is lost, the work goes on, a signal stops it."""

import os
import pathlib
import select
import time

import pytest
from people import emails, tally, users
from script import PRODUCER, quick, wait_until

pty = pytest.importorskip("pty", reason="needs a system that has terminals")
FULL_DISK = pathlib.Path("/dev/full")

STREAMS = {
    "standard output": ["stdout"],
    "standard error": ["stderr"],
    "both": ["stdout", "stderr"],
}
each_stream = pytest.mark.parametrize("streams", STREAMS.values(), ids=STREAMS)


def check(start, signups, script, **streams):
    """Check that everybody is published, or handled, although lines are lost."""
    if script == PRODUCER:
        producer = start(PRODUCER, "--delay", 0.01, **streams)
        assert producer.ended() == 0, producer
        assert signups.log() == users(*range(10))
        return
    signups.publish(*users(0), b"\xff", *users(1))
    worker = start(script, *quick(script), **streams)
    signups.wait_until_done()
    signups.publish(*users(2))
    signups.wait_until_done()
    worker.stop()


@pytest.mark.skipif(not FULL_DISK.exists(), reason="needs /dev/full")
@each_stream
def test_a_full_disk(start, signups, any_script, streams):
    with FULL_DISK.open("w") as full:
        check(start, signups, any_script, **dict.fromkeys(streams, full))


@each_stream
def test_a_pipe_that_was_closed(start, signups, any_script, streams):
    """As after `python worker.py | head -3`."""
    reading_end, writing_end = os.pipe()
    os.close(reading_end)
    with open(writing_end, "w") as closed:
        check(start, signups, any_script, **dict.fromkeys(streams, closed))


@each_stream
def test_a_stream_that_the_shell_has_closed(start, signups, any_script, streams):
    """As after `python worker.py >&-`."""
    numbers = [("stdout", "stderr").index(stream) + 1 for stream in streams]
    check(start, signups, any_script, preexec_fn=lambda: [*map(os.close, numbers)])


def test_a_pipe_that_nobody_reads(start, signups, worker_script):
    """It does not block, and is full long before the end."""
    signups.publish(*users(*range(3_000)))
    reading_end, writing_end = os.pipe()
    os.set_blocking(writing_end, False)
    worker = start(worker_script, *quick(worker_script), stdout=writing_end)
    os.close(writing_end)
    signups.wait_until_done()
    worker.stop()
    with open(reading_end) as reader:
        assert len(reader.read()) < 150_000, "less than all lines together"


@pytest.mark.slow
def test_a_worker_that_waits_for_a_reader_loses_nobody_when_it_is_killed(
    start, signups, complete, worker_script
):
    """As after Ctrl+S. With such long emails, it most often waits during the work."""
    everybody = [f"{'u' * 500}{number}@gmail.com" for number in range(1_000)]
    signups.publish(*everybody)
    reading_end, writing_end = os.pipe()
    stuck = start(worker_script, *quick(worker_script), stdout=writing_end)
    is_full = lambda: not select.select([], [writing_end], [], 0)[1]  # noqa: E731
    wait_until(is_full, "a full pipe")
    stuck.kill()
    os.close(writing_end)
    with open(reading_end) as reader:
        stuck.out = reader.readlines()
    successor = complete(worker_script)
    assert tally(stuck, successor)[1] == {*everybody}


@pytest.mark.slow
@pytest.mark.parametrize("delay", [0.002, 0], ids=["one by one", "full speed"])
def test_a_producer_whose_lines_nobody_reads_for_a_while(start, signups, delay):
    """As after Ctrl+S: its last line is true, and it names nobody who is in the log."""
    reading_end, writing_end = os.pipe()
    flags = ["--count", 3_000, "--delay", delay]
    producer = start(PRODUCER, *flags, stdout=writing_end)
    os.close(writing_end)
    time.sleep(75)  # longer than any limit of the producer
    with open(reading_end) as reader:
        lines = reader.read().splitlines()
    status, log = producer.ended(), signups.log()
    assert emails("Published message", lines) == log == users(*range(len(log)))
    assert lines[-1].startswith(f"Published {len(log)} of 3000 messages")
    assert status == (0 if len(log) == 3_000 else 1)
    assert {*producer.unacknowledged} & {*log} == set()
    assert "Traceback" not in "".join(producer.err)


def test_a_terminal_that_goes_away(start, signups, any_script):
    """Its SIGHUP is not for a script in a session of its own, as after `setsid`."""
    here, there = pty.openpty()
    with open(there, "w") as terminal:
        flags = ["--count", 30] if any_script == PRODUCER else quick(any_script)
        streams = dict.fromkeys(["stdout", "stderr"], terminal)
        script = start(any_script, *flags, **streams)
    wanted = b"Published" if any_script == PRODUCER else b"waiting for"
    seen = b""
    while wanted not in seen:
        seen += os.read(here, 1_000)
    os.close(here)
    if any_script == PRODUCER:
        assert script.ended() == 0
        assert signups.log() == users(*range(30))
    else:
        signups.publish(*users(0, 1))
        signups.wait_until_done()
        script.stop()


def test_a_line_that_the_terminal_cannot_show_is_lost(signups, complete, worker_script):
    signups.group += "-gr\u00fc\u00dfe"
    signups.publish("j\u00f6rg@gmail.com", *users(0))
    worker = complete(worker_script, env={"PYTHONIOENCODING": "ascii"})
    assert "".join(worker.out).isascii() and worker.problems == []


def test_a_window_that_can_only_write(complete, signups, any_script):
    """As in IDLE and in notebooks."""
    signups.publish(*users(0))
    script = complete(any_script, altered="prints_into_idle")
    count = 10 if any_script == PRODUCER else 1
    assert script.published + script.finished == users(*range(count))
