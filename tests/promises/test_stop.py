"""A graceful stop loses nobody and emails nobody twice."""

import shutil
import signal
import subprocess

import psutil
import pytest
from people import assert_each_once, users
from script import BATCH, FAREWELL, PRODUCER, STOPS, STREAMING, quick

ISOLATED = ["unshare", "--fork", "--pid", "true"]  # not permitted everywhere
each_signal = pytest.mark.parametrize("number", STOPS, ids=lambda number: number.name)


@each_signal
def test_an_idle_worker_stops_within_a_second(start, signups, worker_script, number):
    worker = start(worker_script)
    signups.wait_for_members(1)
    worker.stop(number, seconds=1)
    assert worker.out[-1].strip() == FAREWELL
    assert worker.begun == []
    assert worker.count("processing message") == worker.count("flushing") == 0


@pytest.mark.skipif(
    not shutil.which("unshare")
    or subprocess.run(ISOLATED, check=False).returncode != 0,
    reason="needs the right to begin a new space of process numbers",
)
def test_the_first_process_of_a_container_stops(start, signups, any_script):
    """The system lets process 1 ignore a signal for which it has no handler."""
    flags = ["--count", 1_000] if any_script == PRODUCER else []
    script = start(any_script, *flags, altered="as_process_1")
    script.wait_for("Published message" if any_script == PRODUCER else "waiting for")
    [process] = psutil.Process(script.process.pid).children()
    process.terminate()
    assert script.ended(seconds=10) == 0


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="needs SIGHUP")
def test_nohup_keeps_a_script_running(start, signups, any_script):
    """Python gives us a SIGHUP that is ignored, and it stays so."""
    flags = ["--count", 30] if any_script == PRODUCER else quick(any_script)
    ignore = lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)  # noqa: E731
    script = start(any_script, *flags, preexec_fn=ignore)
    script.wait_for("Published message" if any_script == PRODUCER else "waiting for")
    script.send(signal.SIGHUP)
    if any_script == PRODUCER:
        assert script.ended() == 0 and signups.log() == users(*range(30))
    else:
        for number in range(2):  # a poll may be under way when the signal comes
            signups.publish(*users(number))
            script.wait_for("finished processing", times=number + 1)
        script.stop()


def test_streaming_finishes_the_message_in_hand_and_begins_no_other(start, signups):
    signups.publish(*users(0, 1, 2))
    worker = start(STREAMING)
    worker.wait_for("sending email", times=2)
    worker.stop(*STOPS[:1] * 5)
    assert worker.finished == worker.begun == users(0, 1)
    assert signups.committed() == 2
    assert worker.out[-1].strip() == FAREWELL


def test_streaming_workers_go_on_where_the_last_one_stopped(start, signups):
    signups.publish(*users(*range(7)))
    workers = []
    for number in (STOPS * 3)[:3]:
        workers.append(start(STREAMING, "--work-seconds", 0.2))
        workers[-1].wait_for("updating user", times=2)
        workers[-1].stop(number, number)
    last = start(STREAMING, "--work-seconds", 0.1)
    last.wait_for("finished processing message")
    last.stop()
    begun = [email for worker in [*workers, last] for email in worker.begun]
    assert begun == users(*range(7))
    assert signups.lag() == 0


@each_signal
def test_batch_flushes_its_buffer(start, signups, number):
    signups.publish(*users(*range(10)))
    worker = start(BATCH, "--interval", 600)
    worker.wait_for("received a message", times=10)
    worker.stop(number)
    assert worker.finished == worker.begun == users(*range(10))
    assert worker.count("flushing 10 users: shutting down") == 1
    assert worker.out[-1].strip() == FAREWELL
    assert signups.lag() == 0


@pytest.mark.parametrize("signups", [3], indirect=True, ids=["three partitions"])
@pytest.mark.parametrize("moment", ["flushing", "sending email", "updating status"])
def test_batch_finishes_the_batch_in_hand_and_begins_no_other(
    start, signups, complete, moment
):
    """Although more users wait, in each of the partitions."""
    everybody = users(*range(60))
    for partition in range(3):
        signups.publish(*everybody[partition::3], partition=partition)
    flags = ["--interval", 600, "--max-batch-size", 5, "--work-seconds", 0.3]
    worker = start(BATCH, *flags)
    worker.wait_for(moment, times=2)
    worker.stop(*STOPS[:1] * 6)
    assert worker.count("flushing 5 users: the buffer is full") == 2
    assert worker.count("received a message") == len(worker.begun) == 10
    assert_each_once(everybody, worker, complete(STREAMING))


def test_batch_flushes_a_full_buffer_at_once_and_keeps_it_bounded(start, signups):
    signups.publish(*users(*range(20_000)))
    flags = ["--interval", 600, "--max-batch-size", 100, "--work-seconds", 0.2]
    worker = start(BATCH, *flags)
    worker.wait_for("finished processing messages", times=3)
    worker.stop()
    lines = [line for line in worker.out if line.startswith("flushing")]
    batches = [int(line.split()[1]) for line in lines]
    assert batches[:3] == [100, 100, 100] and max(batches) == 100
    assert all("the buffer is full" in line for line in lines[:-1])
    assert worker.count("received a message") == sum(batches) == signups.committed()
    assert_each_once(users(*range(sum(batches))), worker)


def test_batch_flushes_every_interval_and_is_silent_without_users(start, signups):
    worker = start(BATCH, *quick(BATCH, interval=2))
    signups.wait_for_members(1)
    for number, batch in enumerate([users(0), users(1, 2, 3), users(4)], start=1):
        signups.publish(*batch)
        worker.wait_for("finished processing messages", times=number)
    worker.stop()
    assert worker.count("processing message in queue buffer") == 3
    flushes = [(at, line) for at, line in worker.timeline if "flushing" in line]
    sizes = [line for _, line in flushes]
    assert sizes == [f"flushing {size} users: every 2 s\n" for size in (1, 3, 1)]
    [first, second, third] = [at for at, _ in flushes]
    assert second - first >= 1.9 and third - second >= 1.9
    assert worker.finished == users(*range(5))
