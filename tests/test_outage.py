"""The broker goes away. Each test has a broker of its own, and kills it."""

import signal
import time

import pytest
from kit import BATCH, PRODUCER, STREAMING, SignUps, assert_each_once, users, wait_until

OUTAGE = 12  # seconds: the outage itself, not a wait for anything; backoff grows meanwhile
both_workers = pytest.mark.parametrize(
    ("script", "flags"),
    [(STREAMING, []), (BATCH, ["--interval", 0.2])],
    ids=["streaming", "batch"],
)


@pytest.fixture
def signups(own_broker, request):
    signups = SignUps(own_broker.address, getattr(request, "param", 1))
    yield signups
    signups.close()


stopped_soon_or_late = pytest.mark.parametrize(
    ("fate", "is_noticed"),
    [
        pytest.param("kill", False, id="stopped at once", marks=pytest.mark.slow),
        pytest.param("kill", True, id="stopped once it has noticed"),
        pytest.param("freeze", False, id="stopped while it waits", marks=pytest.mark.slow),
    ],
)


@both_workers
@stopped_soon_or_late
def test_a_stop_that_cannot_commit_says_what_will_be_repeated(
    start, signups, own_broker, script, flags, fate, is_noticed
):
    signups.publish(*users(0))
    worker = start(script, *flags)
    worker.wait_for("updating")
    getattr(own_broker, fate)()
    if is_noticed:
        wait_until(lambda: worker.err, "a commit that failed")
    stopped_at = time.monotonic()
    assert worker.send(signal.SIGTERM).ended() == 1
    assert time.monotonic() - stopped_at < 15
    assert worker.finished == users(0)
    assert f"{signups.topic} partition 0 offset 0" in worker.err[-1]
    assert "handled again" in worker.err[-1]

    own_broker.kill()
    own_broker.start()
    again = start(script, *flags, "--work-seconds", 0)
    wait_until(lambda: signups.lag() == 0, "an empty topic")
    assert again.send(signal.SIGTERM).ended() == 0
    assert again.finished == users(0)


@pytest.mark.slow
@both_workers
@stopped_soon_or_late
def test_an_idle_worker_stops_without_a_broker(
    start, signups, own_broker, script, flags, fate, is_noticed
):
    worker = start(script, *flags)
    signups.wait_for_members(1)
    getattr(own_broker, fate)()
    if is_noticed:
        wait_until(lambda: worker.err, "a worker that has lost the broker")
    stopped_at = time.monotonic()
    assert worker.send(signal.SIGTERM).ended() == 0
    assert time.monotonic() - stopped_at < 15
    assert [line for line in worker.err if "lost the broker" not in line] == []


@pytest.mark.slow
def test_a_buffer_is_not_lost_by_a_stop_without_a_broker(start, signups, own_broker):
    signups.publish(*users(*range(5)))
    worker = start(BATCH, "--interval", 600)
    worker.wait_for("received a message", times=5)
    own_broker.kill()
    wait_until(lambda: worker.err, "a worker that has lost the broker")
    stopped_at = time.monotonic()
    worker.send(signal.SIGTERM).ended(seconds=15)
    print(f"stopped after {time.monotonic() - stopped_at:.1f} s")
    own_broker.start()
    again = start(BATCH, "--interval", 0.2)
    wait_until(lambda: signups.lag() == 0, "an empty topic")
    assert again.send(signal.SIGTERM).ended() == 0
    assert sorted(again.finished) == users(*range(5))


@both_workers
def test_an_outage_in_the_middle_of_work_is_outlasted(start, signups, own_broker, script, flags):
    """The worker says once that the broker is lost, and once that it is back."""
    count = 300
    small = ["--max-batch-size", 20] if script == BATCH else []
    signups.publish(*users(*range(count)))
    worker = start(script, *flags, *small, "--work-seconds", 0.02)
    wait_until(lambda: len(worker.finished) > 30, "work")
    own_broker.kill()
    time.sleep(6)  # the outage itself, not a wait for anything
    own_broker.start()
    back_at, finished = time.monotonic(), len(worker.finished)
    assert finished < count
    wait_until(lambda: len(worker.finished) > finished, "the next user", seconds=10)
    print(f"the next user was finished {time.monotonic() - back_at:.1f} s after the return")
    wait_until(lambda: signups.lag() == 0, "an empty topic")
    assert worker.send(signal.SIGTERM).ended() == 0
    assert_each_once(users(*range(count)), worker)
    assert len(worker.err) == 2
    assert "lost the broker" in worker.err[0] and "back again" in worker.err[1]


@pytest.mark.slow
@both_workers
def test_a_commit_that_failed_is_made_up_for(start, signups, own_broker, script, flags):
    """Even when no further message comes. Until then nobody else is begun, and little is said."""
    one_by_one = ["--max-batch-size", 1] if script == BATCH else []
    signups.publish(*users(0, 1))
    worker = start(script, *flags, *one_by_one)
    worker.wait_for("updating")
    own_broker.kill()
    wait_until(lambda: worker.err, "a warning")
    time.sleep(5)  # the outage itself, longer than one commit may take
    assert worker.begun == worker.finished == users(0)
    own_broker.start()
    wait_until(lambda: signups.lag() == 0, "both users")
    assert worker.send(signal.SIGTERM).ended() == 0
    assert worker.finished == worker.begun == users(0, 1)
    assert len(worker.err) == 2
    assert "not committed yet" in worker.err[0] and "back again" in worker.err[1]


@pytest.mark.slow
def test_the_producer_delivers_everything_across_an_outage(start, signups, own_broker):
    producer = start(PRODUCER, "--count", 100, "--delay", 0.1)
    producer.wait_for("Published message", times=20)
    own_broker.kill()
    time.sleep(OUTAGE)
    own_broker.start()
    back_at = time.monotonic()
    assert producer.ended() == 0
    assert time.monotonic() - back_at < 12
    assert sorted(signups.log()) == sorted(users(*range(100)))
    assert producer.count("Published message") == 100


@pytest.mark.slow
@pytest.mark.parametrize(
    ("count", "signals"),
    [
        pytest.param(100_000, [signal.SIGINT] * 2, id="stopped"),
        pytest.param(100_000, [], id="by itself in the middle"),
        pytest.param(60, [], id="by itself in the end"),
    ],
)
def test_without_a_broker_the_producer_names_what_was_not_delivered(
    start, signups, own_broker, count, signals
):
    producer = start(PRODUCER, "--count", count, "--delay", 0.01)
    producer.wait_for("Published message", times=20)
    own_broker.kill()
    said = producer.count("Published message")
    assert producer.send(*signals).ended(seconds=75) == 1
    own_broker.start()
    published, named = producer.published, producer.undelivered
    assert published + named == users(*range(len(published) + len(named)))
    assert set(published) <= {*signups.log()}
    assert said <= len(published)
    assert f"error: {len(named)} of {len(published + named)} messages were not" in producer.err[-1]


@pytest.mark.slow
@both_workers
def test_a_worker_finds_a_broker_that_comes_back(start, signups, own_broker, script, flags):
    worker = start(script, *flags, "--work-seconds", 0)
    signups.wait_for_members(1)
    own_broker.kill()
    time.sleep(OUTAGE)
    own_broker.start()
    back_at = time.monotonic()
    signups.publish(*users(0))
    worker.wait_for("finished processing")
    assert time.monotonic() - back_at < 12
    assert worker.send(signal.SIGTERM).ended() == 0
    assert worker.finished == users(0)
    assert len(worker.err) == 2 and "lost the broker" in worker.err[0]
    assert "back again" in worker.err[1]


@pytest.mark.slow
@pytest.mark.parametrize("signups", [6], indirect=True, ids=["six partitions"])
def test_a_group_outlasts_outages(start, signups, own_broker):
    """Nobody twice, though four workers rejoin: until what is done is committed, none polls."""
    flags = {STREAMING: ["--work-seconds", 0.005], BATCH: ["--work-seconds", 0.1, "--interval", 1]}
    workers = [start(script, *flags[script]) for script in (STREAMING, BATCH) * 2]
    signups.wait_for_members(4)
    producer = start(PRODUCER, "--partitions", 6, "--count", 1_000_000, "--delay", 0.02)
    for _ in range(3):
        before = signups.committed()
        wait_until(lambda: signups.committed() > before + 100, "work")  # noqa: B023
        own_broker.kill()
        time.sleep(OUTAGE / 2)
        finished = [len(worker.finished) for worker in workers]
        own_broker.start()
        for worker, number in zip(workers, finished):
            wait_until(lambda: len(worker.finished) > number, f"work of {worker}")  # noqa: B023
    assert producer.send(signal.SIGTERM).ended() == 0
    wait_until(lambda: signups.lag() == 0, "an empty topic")
    for worker in workers:
        assert worker.send(signal.SIGTERM).ended() == 0
    assert_each_once(producer.published, *workers)
    for worker in workers:
        said = ["lost the broker" if "lost the broker" in line else line for line in worker.err]
        assert said == ["lost the broker", "back again: going on\n"] * (len(said) // 2)
