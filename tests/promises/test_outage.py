"""The broker goes away and returns. Each test has a broker of its own, and kills it."""

import errno
import shutil
import signal
import time

import pytest
from broker import Broker
from confluent_kafka import admin
from people import assert_each_once, users
from script import BATCH, NOT_COMMITTED, PRODUCER, STREAMING, pace, quick, wait_until
from secure import PASSWORD, SecureBroker, needs_scram
from signups import SignUps

OUTAGE = 12  # seconds: the outage itself, not a wait for a fact
LATE_REFUSAL = {"connection.failed.authentication.delay.ms": 300_000}


@pytest.fixture
def signups(own_signups):
    return own_signups


@pytest.mark.parametrize(
    ("fate", "is_noticed"),
    [
        pytest.param("kill", True, id="killed, and stopped later"),
        pytest.param("kill", False, id="killed", marks=pytest.mark.slow),
        pytest.param("freeze", False, id="frozen", marks=pytest.mark.slow),
    ],
)
def test_a_stop_that_cannot_commit_names_what_will_be_handled_again(
    start, signups, own_broker, complete, worker_script, fate, is_noticed
):
    signups.publish(*users(0))
    worker = start(worker_script, *pace(worker_script, 0.5))
    worker.wait_for("updating")
    own_broker.kill() if fate == "kill" else own_broker.freeze()
    if is_noticed:
        worker.wait_for("finished processing")
        worker.wait_for_error("Error sending OffsetCommitRequest")
    worker.send(signal.SIGTERM)
    named = [NOT_COMMITTED, signups.topic, "partition=0", "offset=1"]
    worker.failed(*named, seconds=15)
    assert worker.finished == users(0)

    own_broker.kill()
    own_broker.start()
    assert complete(worker_script).finished == users(0)


@pytest.mark.parametrize(
    "fate", ["killed", pytest.param("frozen", marks=pytest.mark.slow)]
)
def test_an_idle_worker_stops_without_a_broker(
    start, signups, own_broker, worker_script, fate
):
    worker = start(worker_script)
    signups.wait_for_members(1)
    own_broker.kill() if fate == "killed" else own_broker.freeze()
    if fate == "killed":
        worker.wait_for_error("kafka")
    worker.stop(seconds=15)


def test_an_outage_in_the_middle_of_work_is_outlasted(
    start, signups, own_broker, worker_script
):
    """kafka-python says what goes on, briefly. Work goes on when the broker returns."""
    count = 300
    small = ["--max-batch-size", 20] if worker_script == BATCH else []
    signups.publish(*users(*range(count)))
    worker = start(worker_script, *pace(worker_script, 0.02), *small)
    wait_until(lambda: len(worker.finished) > 30, "work")
    own_broker.kill()
    time.sleep(OUTAGE)
    finished = len(worker.finished)
    assert finished < count
    assert len(worker.err) <= 15 and worker.repeated == [], worker
    own_broker.start()
    wait_until(lambda: len(worker.finished) > finished, "the next user", seconds=5)
    signups.wait_until_done()
    worker.stop()
    assert_each_once(users(*range(count)), worker)
    assert f"error {errno.ECONNREFUSED}" in "".join(worker.err)


@pytest.mark.slow
def test_the_producer_delivers_everything_across_an_outage(start, signups, own_broker):
    producer = start(PRODUCER, "--count", 100, "--delay", 0.05)
    producer.wait_for("Published message", times=20)
    own_broker.kill()
    time.sleep(OUTAGE)
    published = len(producer.published)
    assert len(producer.err) <= 15 and producer.repeated == [], producer
    own_broker.start()
    wait_until(lambda: len(producer.published) > published, "the next user", seconds=5)
    assert producer.ended() == 0
    assert producer.published == users(*range(100)) == signups.log()


BY_ITSELF, STOPPED = 80, 10  # seconds until the end of the producer


@pytest.mark.parametrize(
    ("delay", "fate", "seconds"),
    [
        pytest.param(0.01, "freeze", STOPPED, id="stopped, the broker is frozen"),
        pytest.param(0.01, "kill", STOPPED, id="stopped", marks=pytest.mark.slow),
        pytest.param(
            0, "freeze", STOPPED, id="stopped, at speed", marks=pytest.mark.slow
        ),
        pytest.param(0.01, "kill", BY_ITSELF, id="by itself", marks=pytest.mark.slow),
        pytest.param(0, "kill", BY_ITSELF, id="at full speed", marks=pytest.mark.slow),
    ],
)
def test_without_a_broker_the_producer_names_all_who_are_not_acknowledged(
    start, signups, own_broker, delay, fate, seconds
):
    """It waits for a minute or, after a signal, for five seconds."""
    producer = start(PRODUCER, "--count", 10_000_000, "--delay", delay)
    producer.wait_for("Published message", times=20)
    own_broker.kill() if fate == "kill" else own_broker.freeze()
    if seconds == STOPPED:
        producer.wait_for_silence(1)
        producer.send(signal.SIGINT, signal.SIGINT)
    producer.failed("error: not acknowledged (KafkaTimeoutError): ", seconds=seconds)
    own_broker.kill()
    own_broker.start()
    published, named = producer.published, producer.unacknowledged
    assert named
    assert sorted(published + named) == sorted(users(*range(len(published + named))))
    assert {*published} <= {*signups.log()}
    assert f"Published {len(published)} of 10000000 messages" in producer.out[-1]
    [first] = users(len(published + named))
    rest = 10_000_000 - len(published + named)
    assert producer.err[-1].endswith(f"; not sent: the last {rest}, from {first} on\n")


@pytest.mark.slow
@pytest.mark.parametrize("own_signups", [6], indirect=True, ids=["six partitions"])
def test_a_group_outlasts_outages(start, signups, own_broker):
    """Nobody is emailed twice, although four workers join the group anew each time."""
    flags = {
        STREAMING: ["--work-seconds", 0.005],
        BATCH: ["--work-seconds", 0.1, "--interval", 1],
    }
    workers = [start(script, *flags[script]) for script in (STREAMING, BATCH) * 2]
    signups.wait_for_members(4)
    flags = ["--partitions", 6, "--count", 1_000_000, "--delay", 0.02]
    producer = start(PRODUCER, *flags)
    for _ in range(3):
        soon = len(producer.published) + 100
        wait_until(lambda: len(producer.published) > soon, "sign-ups")  # noqa: B023
        own_broker.kill()
        time.sleep(OUTAGE / 2)
        own_broker.start()
        for worker in workers:
            worker.wait_for("finished processing", worker.count("finished") + 1)
    producer.stop()
    signups.wait_until_done()
    for worker in workers:
        worker.stop()
    assert_each_once(producer.published, *workers)


@pytest.fixture
def secure_broker(of_ours, tmp_path, request):
    needs_scram()
    broker = SecureBroker(tmp_path, **getattr(request, "param", {}))
    request.addfinalizer(broker.kill)
    broker.start()
    return broker


@pytest.mark.slow
def test_a_certificate_that_is_refused_in_the_middle_ends_the_worker(
    start, secure_broker, tmp_path, worker_script
):
    """The broker restarts with a certificate of another authority."""
    signups = SignUps(secure_broker.address)
    known = shutil.copy(secure_broker.cafile, tmp_path / "known-ca.pem")
    environment = {**secure_broker.environment, "KAFKA_SSL_CAFILE": known}
    worker = start(worker_script, signups=signups, env=environment)
    signups.wait_for_members(1)
    secure_broker.kill()
    secure_broker.start()
    worker.failed("CERTIFICATE_VERIFY_FAILED")
    signups.close()


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("secure_broker", "is_busy", "noticed"),
    [
        pytest.param({}, False, "uthentication", id="idle"),
        pytest.param({}, True, "uthentication", id="busy"),
        pytest.param(LATE_REFUSAL, False, "kafka.conn", id="without an answer"),
    ],
    indirect=["secure_broker"],
)
def test_a_password_that_is_refused_for_a_while_loses_nobody(
    start, secure_broker, worker_script, is_busy, noticed
):
    """The worker goes on, or ends and is started again.

    kafka-python 2.3 logs in outside of its lock. Its two threads may read from the same
    TLS connection then. That costs it 30 seconds, or breaks it in any way.
    """
    signups = SignUps(secure_broker.address)
    mechanism = {"KAFKA_SASL_MECHANISM": "SCRAM-SHA-256"}
    environment = {**secure_broker.environment, **mechanism}

    def start_worker(*flags):
        return start(worker_script, *flags, signups=signups, env=environment)

    def change_password(password):
        scram = admin.ScramCredentialInfo(admin.ScramMechanism.SCRAM_SHA_256, 4096)
        change = admin.UserScramCredentialUpsertion("alice", scram, password.encode())
        signups.ask("alter_user_scram_credentials", [change])

    def failed():
        return bool(worker.process.poll())

    worker = start_worker(*pace(worker_script, 0.5))
    signups.wait_for_members(1)
    if is_busy:
        signups.publish(*users(0))
        worker.wait_for("updating")
    change_password("another one")
    secure_broker.kill()
    Broker.start(secure_broker)  # with the same certificates
    wait_until(lambda: failed() or noticed in "".join(worker.err), "trouble")
    time.sleep(3)  # how long the password is refused, not a wait for a fact
    change_password(PASSWORD)
    signups.publish(*users(1))
    workers = [worker]
    wait_until(lambda: failed() or not signups.lag(), "an end", seconds=120)
    if failed():
        workers.append(start_worker(*quick(worker_script)))
    signups.wait_until_done()
    workers[-1].stop()
    expected = users(0, 1) if is_busy else users(1)
    assert {user for w in workers for user in w.finished} == {*expected}
    assert PASSWORD not in "".join(worker.out + worker.err)
    signups.close()
