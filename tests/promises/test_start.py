"""Starting: what a user can get wrong ends with one clear line, and loses nobody."""

import contextlib
import re
import socket
import subprocess
import sys

import pytest
from broker import free_port
from people import users
from script import BATCH, PRODUCER, ROOT, SCRIPTS, STOPS, STREAMING, Script, quick
from variables import NAMES

WORK = "--work-seconds -1, --work-seconds nan, --work-seconds inf"
SIZE = "--max-batch-size 0, --max-batch-size 1.5"
BAD_FLAGS = {
    PRODUCER: "--count -1, --count x, --delay -1, --delay nan, --partitions 0, --bogus",
    STREAMING: WORK,
    BATCH: f"{WORK}, --interval -1, --interval nan, {SIZE}",
}
CANNOT_CONNECT = {  # the address, and what standard error must say about it
    "nobody listens": ("{nowhere}", "ECONNREFUSED"),
    "a name that does not resolve": ("nohost.invalid:9092", "DNS"),
    "no port, either": ("nohost.invalid", "DNS"),
    "an empty port": ("localhost:", "int()"),
    "a word for a port": ("localhost:kafka", "int()"),
    "a server that never answers": ("{mute}", "timed out"),
    "two servers that never answer": ("{mute},{mute_too}", "timed out"),
    "a server that swallows packets": ("{swallower}", "NoBrokersAvailable"),
}
FORBIDDEN = {"a space": "no spaces", "too long": 250 * "a", "a dot": ".", "empty": ""}
OTHER_VARIABLES = {  # Kubernetes sets the first one for a service called kafka
    "KAFKA_PORT": "tcp://10.0.0.1:9092",
    "KAFKA_ACKS": "0",
    "KAFKA_API_VERSION": "x",
}
NO_VALUES = dict.fromkeys(NAMES, "")  # Compose passes these for variables not set


def refused(*scripts, words):
    """Check that all have ended within 15 s with status 1 and a last line with `words`.

    kafka-python's own lines may stand above it, each one once.
    """
    for script in scripts:
        script.failed(*words, seconds=15)
        assert script.repeated == [], script


@pytest.fixture
def addresses(nowhere):
    """Addresses by the names that CANNOT_CONNECT gives to them."""
    with contextlib.ExitStack() as sockets:

        def listen(backlog):
            server = socket.create_server(("127.0.0.1", 0), backlog=backlog)
            sockets.enter_context(server)
            return f"127.0.0.1:{server.getsockname()[1]}"

        # The system accepts for a server that listens; nobody reads what it accepts.
        found = {"nowhere": nowhere, "mute": listen(100), "mute_too": listen(100)}
        # Once its queue is full, the system drops whatever comes.
        found["swallower"] = listen(0)
        host, port = found["swallower"].split(":")
        for _ in range(5):
            caller = sockets.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex((host, int(port)))
        yield found


@pytest.mark.parametrize(
    ("address", "cause"), CANNOT_CONNECT.values(), ids=CANNOT_CONNECT
)
def test_an_address_that_leads_nowhere_is_named(addresses, address, cause):
    address = address.format(**addresses)
    lost = [Script(script, bootstrap=address) for script in SCRIPTS]
    refused(*lost, words=[address])
    for script in lost:
        assert cause in "".join(script.err), script


def test_each_server_that_refuses_is_named_with_its_reason(addresses, any_script):
    """Two refuse for the same reason, one says nothing, one has no address."""
    refusing = [addresses["nowhere"], f"localhost:{free_port()}"]
    bootstrap = ",".join([*refusing, addresses["mute"], "nohost.invalid:9092"])
    lost = Script(any_script, bootstrap=bootstrap)
    refused(lost, words=[bootstrap])
    reasons = [rf"host={address} .*: Closing .* ECONNREFUSED" for address in refusing]
    for reason in [*reasons, "timed out", "DNS lookup failed for nohost.invalid"]:
        assert re.search(reason, "".join(lost.err)), lost


def test_a_mistake_in_a_setting_of_ones_own_is_named(start_changed, worker_script):
    wrong = start_changed(worker_script, "group_id=", "fetch_min=1, group_id=")
    refused(wrong, words=["fetch_min"])


def test_a_mistake_in_a_listener_of_ones_own_is_shown(start_changed, worker_script):
    mistake = "self.known_partitions = partitons"
    wrong = start_changed(worker_script, mistake.replace("tons", "tions"), mistake)
    wrong.wait_for_error("NameError: name 'partitons' is not defined")
    wrong.stop()


@pytest.mark.parametrize("dead", ["nowhere", "mute"])
def test_one_dead_server_in_a_list_does_not_matter(start, signups, addresses, dead):
    """kafka-python begins with any of them, so several scripts are started."""
    bootstrap = f"{addresses[dead]}, {signups.bootstrap}"
    producers = [start(PRODUCER, "--count", 1, bootstrap=bootstrap) for _ in range(4)]
    workers = [start(STREAMING, *quick(STREAMING), bootstrap=bootstrap)]
    workers += [start(BATCH, *quick(BATCH), bootstrap=bootstrap)]
    for producer in producers:
        assert producer.ended() == 0, producer
    for worker in workers:
        worker.wait_for("waiting for messages")
    signups.wait_until_done()
    for worker in workers:
        worker.stop()
    assert signups.committed() == 4


def test_a_start_that_fails_is_a_failure_although_it_was_stopped(nowhere, any_script):
    """The signal comes while it tries to connect. Nothing says that all is done."""
    script = Script(any_script, bootstrap=nowhere)
    script.wait_for("starting")
    refused(script.send(*STOPS[:1] * 2), words=[nowhere])


@pytest.mark.parametrize(
    ("script", "flag"),
    [(s, flag) for s in BAD_FLAGS for flag in BAD_FLAGS[s].split(", ")],
)
def test_a_bad_flag_is_named(nowhere, script, flag):
    wrong = Script(script, *flag.split(), bootstrap=nowhere)
    assert wrong.ended() == 2
    assert flag.split()[0] in wrong.err[-1] and wrong.out == []


def test_help_shows_flags_with_their_defaults_and_the_environment(any_script):
    shown = Script(any_script, "--help", bootstrap="", env={"COLUMNS": "200"})
    assert shown.ended() == 0
    text = "".join(shown.out)
    for word in ["KAFKA_BOOTSTRAP_SERVERS", "KAFKA_SSL_CAFILE", "user_signups"]:
        assert word in text
    flags = re.findall(r"^  --", text, re.MULTILINE)
    assert len(flags) == text.count("(default: ") >= 3


def test_import_has_no_side_effects(any_script):
    code = f"import logging, signal, threading, {any_script[:-3]} as s"
    code += "; assert not s.is_shutting_down and threading.active_count() == 1"
    code += "; assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL"
    code += "; assert not logging.getLogger().handlers"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_an_empty_variable_and_those_of_others_do_not_count(
    complete, any_script, signups
):
    env = {**NO_VALUES, **OTHER_VARIABLES}
    signups.publish(*users(0))
    complete(any_script, env=env)


def test_without_an_address_it_is_localhost_9092(any_script):
    """The protocol is wrong: nobody must publish to a broker that may listen there."""
    env = {"KAFKA_SECURITY_PROTOCOL": "TELEPATHY"}
    refused(Script(any_script, bootstrap="", env=env), words=["localhost:9092"])


@pytest.mark.parametrize("topic", FORBIDDEN.values(), ids=FORBIDDEN)
def test_a_topic_name_that_kafka_forbids_is_named(bootstrap, topic):
    wrong = [
        Script(script, "--topic", topic, bootstrap=bootstrap) for script in SCRIPTS
    ]
    refused(*wrong, words=[topic, "opic"])


def test_an_empty_group_is_named(bootstrap, worker_script):
    wrong = Script(worker_script, "--group", "", bootstrap=bootstrap)
    refused(wrong, words=["Group"])
    assert wrong.begun == []


def test_a_group_of_another_kind_of_consumers_is_named(start, signups, worker_script):
    with signups.other_member("cooperative-sticky"):
        worker = start(worker_script, *quick(worker_script))
        refused(worker, words=[signups.bootstrap, "GroupProtocol"])
        assert worker.begun == [] and len(signups.members()) == 1
