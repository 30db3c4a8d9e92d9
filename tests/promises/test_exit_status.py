"""Status 0: all that was begun is committed or published. Status 1: a line says why."""

import itertools
import signal
import time

from confluent_kafka import admin
from people import users
from script import NOT_COMMITTED, PRODUCER, STOPS, pace, quick


def test_signals_until_the_very_end_leave_the_status_alone(start, signups, any_script):
    """Also those that come after the last line, when Python takes itself apart."""
    flags = ["--count", 1] if any_script == PRODUCER else quick(any_script)
    script = start(any_script, *flags)
    script.wait_for("Published message" if any_script == PRODUCER else "waiting for")
    for number in itertools.cycle(STOPS):
        if script.process.poll() is not None:
            break
        script.send(number)
        time.sleep(0.0003)
    assert script.ended() == 0, f"exit status {script.process.poll()}\n{script}"


def test_a_commit_has_five_seconds_after_a_signal(
    start, own_broker, own_signups, worker_script
):
    """Even if the signal comes when the attempt under way has nearly timed out."""
    own_signups.publish(*users(0))
    worker = start(worker_script, *pace(worker_script, 0.5), signups=own_signups)
    worker.wait_for("updating")
    own_broker.freeze()
    worker.wait_for("finished processing")
    time.sleep(4.7)  # of the 5 seconds of the first attempt
    worker.send(signal.SIGTERM)
    time.sleep(0.6)
    own_broker.thaw()
    worker.stop()
    assert own_signups.lag() == 0


def test_a_commit_that_the_broker_cannot_write_ends_the_worker(
    start, own_broker, own_signups, worker_script
):
    """An unknown server error: the next start handles these users again."""

    def limit_records(what):
        limit = admin.ConfigEntry("max.message.bytes", "0", incremental_operation=what)
        place = admin.ResourceType.TOPIC, "__consumer_offsets"
        change = admin.ConfigResource(*place, incremental_configs=[limit])
        own_signups.ask("incremental_alter_configs", [change])

    own_signups.publish(*users(0))
    flags = [worker_script, *pace(worker_script, 0.5)]
    worker = start(*flags, signups=own_signups)
    worker.wait_for("updating")
    limit_records(admin.AlterConfigOpType.SET)
    named = [f"error: {NOT_COMMITTED}", own_signups.topic, "offset=1"]
    worker.failed(*named, seconds=15)
    limit_records(admin.AlterConfigOpType.DELETE)
    successor = start(*flags, signups=own_signups)
    own_signups.wait_until_done()
    successor.stop()
    assert worker.finished == successor.finished == users(0)
