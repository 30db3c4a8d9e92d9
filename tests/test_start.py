"""Starting: no broker, a stop while connecting, bad flags, help, import."""

import subprocess
import sys
import time

import pytest
from kit import BATCH, PRODUCER, ROOT, STOPS, STREAMING, Script

every_script = pytest.mark.parametrize("script", [PRODUCER, STREAMING, BATCH])
BAD_FLAGS = {
    PRODUCER: ["--count -1", "--count x", "--delay -1", "--delay nan", "--partitions 0"],
    STREAMING: ["--work-seconds -1", "--work-seconds nan", "--work-seconds inf", "--bogus 1"],
    BATCH: ["--interval -1", "--interval nan", "--max-batch-size 0", "--max-batch-size 1.5"],
}


@every_script
def test_without_a_broker_one_line_says_so(nowhere, script):
    started_at = time.monotonic()
    lonely = Script(script, bootstrap=nowhere)
    assert lonely.ended() == 1
    assert time.monotonic() - started_at < 15
    assert len(lonely.err) == 1 and nowhere in lonely.err[0]


@every_script
@pytest.mark.parametrize("number", STOPS, ids=lambda number: number.name)
def test_a_stop_while_connecting_is_a_graceful_stop(nowhere, script, number):
    worker = Script(script, bootstrap=nowhere)
    worker.wait_for("starting")
    assert worker.send(number, number).ended(seconds=15) == 0
    assert worker.err == []


@pytest.mark.parametrize(
    ("script", "flags"), [(script, flags) for script in BAD_FLAGS for flags in BAD_FLAGS[script]]
)
def test_a_bad_flag_is_named(nowhere, script, flags):
    refused = Script(script, *flags.split(), bootstrap=nowhere)
    assert refused.ended() == 2
    assert flags.split()[0] in refused.err[-1] and refused.out == []


@every_script
def test_help_shows_flags_environment_and_defaults(script):
    shown = Script(script, "--help", bootstrap="", env={"COLUMNS": "200"})
    assert shown.ended() == 0
    text = "".join(shown.out)
    for word in ["user_signups", "localhost:9092", "KAFKA_SECURITY_PROTOCOL", "KAFKA_SSL_CAFILE"]:
        assert word in text


@every_script
def test_import_has_no_side_effects(script):
    code = f"import threading, signal, {script[:-3]} as s; assert not s.is_shutting_down"
    code += "; assert threading.active_count() == 1"
    code += "; assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
