"""The same scripts on a listener with TLS, passwords and rights, by environment alone."""

import base64
import pathlib
import re
import signal
import time

import pytest
from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    ResourcePattern,
    ResourceType,
)
from kit import BATCH, PRODUCER, STREAMING, assert_each_once, users, wait_until
from secure import PASSWORD

WRONG = PASSWORD.replace("s3cr3t", "gu3ss3d")
LOQUACIOUS = """
import logging, sys
logging.basicConfig(level=1)
__import__(sys.argv.pop(1)).main()
"""
OTHER_CA, NO_CA, NO_PEM = "other-ca.pem", "no-ca.pem", "server.properties"  # beside the right one
PLAIN_PORT = "the plaintext listener"
REFUSED = {  # what is wrong: the environment that differs, what the line must name
    "wrong password, PLAIN": ({"SASL_PLAIN_PASSWORD": WRONG}, "authentication"),
    "wrong password, SCRAM": (
        {"SASL_PLAIN_PASSWORD": WRONG, "SASL_MECHANISM": "SCRAM-SHA-256"},
        "authentication",
    ),
    "unknown user": (
        {"SASL_PLAIN_USERNAME": "nobody", "SASL_MECHANISM": "SCRAM-SHA-256"},
        "authentication",
    ),
    "no password": ({"SASL_PLAIN_PASSWORD": None}, "password"),
    "mechanism that is not enabled": ({"SASL_MECHANISM": "SCRAM-SHA-512"}, "mechanism"),
    "mechanism that does not exist": ({"SASL_MECHANISM": "CRAM"}, "mechanism"),
    "no mechanism": ({"SASL_MECHANISM": None}, "mechanism"),
    "unknown CA": ({"SSL_CAFILE": OTHER_CA}, "certificate"),
    "no such CA file": ({"SSL_CAFILE": NO_CA}, "KAFKA_SSL_CAFILE"),
    "CA file that holds none": ({"SSL_CAFILE": NO_PEM}, "KAFKA_SSL_CAFILE"),
    "name that the certificate is not for": ({"BOOTSTRAP_SERVERS": "127.0.0.1"}, "certificate"),
    "plain client on a TLS port": ({"SECURITY_PROTOCOL": None}, "protocol"),
    "SASL without TLS on a TLS port": ({"SECURITY_PROTOCOL": "SASL_PLAINTEXT"}, "protocol"),
    "TLS without SASL on a SASL port": ({"SECURITY_PROTOCOL": "SSL"}, "protocol|authentication"),
    "TLS client on a plain port": ({"BOOTSTRAP_SERVERS": PLAIN_PORT}, "protocol"),
    "protocol that does not exist": ({"SECURITY_PROTOCOL": "SASL_TLS"}, "protocol"),
    "protocol in small letters, on a plain port": (
        {"SECURITY_PROTOCOL": "sasl_ssl", "BOOTSTRAP_SERVERS": PLAIN_PORT},
        "protocol",
    ),
}
both_workers = pytest.mark.parametrize("script", [STREAMING, BATCH])
both_mechanisms = pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256"])


@pytest.fixture(autouse=True)
def no_environment(monkeypatch, secured):
    """A variable that a test leaves out is unset in its scripts."""
    for name in secured:
        monkeypatch.delenv(name, raising=False)


def flags(script):
    """Return flags that make a script quick."""
    return ["--count", 5] if script == PRODUCER else ["--work-seconds", 0]


def forms(password):
    """Return the password as plain text, and in each way that a log may show it."""
    payload = f"alice\0alice\0{password}".encode()
    encoded = [base64.b64encode(secret).decode() for secret in (password.encode(), payload)]
    shown = [repr(password)[1:-1], ascii(password)[1:-1], repr(password.encode())[2:-1]]
    return [password, *shown, *encoded, re.search(r"\w+", password)[0]]


def assert_keeps_its_secret(script, password=PASSWORD):
    """Check that the password is nowhere in what the script printed, however it is written."""
    printed = "".join([*script.out, *script.err])
    assert [form for form in forms(password) if form in printed] == []


@both_workers
@both_mechanisms
def test_the_environment_is_all_it_takes(start, signups, secured, script, mechanism):
    env = {**secured, "KAFKA_SASL_MECHANISM": mechanism}
    worker = start(script, *flags(script), env=env)
    producer = start(PRODUCER, *flags(PRODUCER), env=env)
    assert producer.ended() == 0
    wait_until(lambda: signups.lag() == 0, "an empty topic")
    assert worker.send(signal.SIGTERM).ended() == 0
    assert_each_once(users(*range(5)), worker)
    for ended in (producer, worker):
        assert ended.err == []
        assert_keeps_its_secret(ended)


@pytest.mark.parametrize(("differs", "cause"), REFUSED.values(), ids=REFUSED)
def test_a_refused_connection_names_its_cause(start, signups, secured, bootstrap, differs, cause):
    """All three scripts at once: each takes 5 seconds to give up."""
    signups.publish(*users(0))
    env = {**secured, **{f"KAFKA_{name}": value for name, value in differs.items()}}
    port = secured["KAFKA_BOOTSTRAP_SERVERS"].rpartition(":")[2]
    addresses = {PLAIN_PORT: bootstrap, "127.0.0.1": f"127.0.0.1:{port}"}
    address = env["KAFKA_BOOTSTRAP_SERVERS"]
    env["KAFKA_BOOTSTRAP_SERVERS"] = addresses.get(address, address)
    env["KAFKA_SSL_CAFILE"] = (
        pathlib.Path(secured["KAFKA_SSL_CAFILE"]).parent / env["KAFKA_SSL_CAFILE"]
    )
    env = {name: str(value) for name, value in env.items() if value}

    started_at = time.monotonic()
    for script in [
        start(script, *flags(script), env=env) for script in (PRODUCER, STREAMING, BATCH)
    ]:
        assert script.ended() == 1
        assert time.monotonic() - started_at < 15
        assert len(script.err) == 1 and re.search(cause, script.err[0], re.IGNORECASE), script
        assert_keeps_its_secret(script, env.get("KAFKA_SASL_PLAIN_PASSWORD", PASSWORD))
    assert signups.log() == users(0) and signups.committed() == 0


@both_mechanisms
@pytest.mark.parametrize("password", [PASSWORD, WRONG], ids=["taken", "refused"])
@pytest.mark.parametrize("script", [PRODUCER, STREAMING, BATCH])
def test_the_password_is_in_no_log(start, signups, secured, script, mechanism, password):
    signups.publish(*users(0))
    env = {"KAFKA_SASL_MECHANISM": mechanism, "KAFKA_SASL_PLAIN_PASSWORD": password}
    talker = start(script, *flags(script), env={**secured, **env}, code=LOQUACIOUS)
    if password == PASSWORD:
        talker.wait_for("Published" if script == PRODUCER else "finished processing")
        assert talker.send(signal.SIGTERM).ended() == 0
    else:
        assert talker.ended(15) == 1
    assert "INFO:kafka" in "".join(talker.err)
    assert_keeps_its_secret(talker, password)


@both_workers
@pytest.mark.parametrize("user", ["topicless", "groupless"])
def test_a_worker_without_a_right_says_so(start, signups, secured, script, user):
    signups.publish(*users(0))
    started_at = time.monotonic()
    worker = start(script, *flags(script), env={**secured, "KAFKA_SASL_PLAIN_USERNAME": user})
    assert worker.ended(15) == 1
    assert time.monotonic() - started_at < 15
    assert len(worker.err) == 1 and re.search("authorization", worker.err[0], re.IGNORECASE)
    assert (signups.topic if user == "topicless" else signups.group) in worker.err[0]
    assert worker.begun == [] and signups.committed() == 0


@both_workers
@pytest.mark.parametrize(
    "resource", [ResourceType.TOPIC, ResourceType.GROUP], ids=lambda resource: resource.name.lower()
)
def test_a_right_that_is_taken_away_and_given_back(start, signups, secured, script, resource):
    """In between nothing can be committed: that is said once, and nobody is begun."""
    name = signups.topic if resource is ResourceType.TOPIC else signups.group
    pattern = ResourcePattern(resource, name)
    deny = ACL("User:alice", "*", ACLOperation.READ, ACLPermissionType.DENY, pattern)
    signups.publish(*users(0, 1, 2))
    worker = start(script, "--work-seconds", 0.5, env=secured)
    worker.wait_for("sending email")
    signups.admin.create_acls([deny])
    wait_until(lambda: worker.err, "a commit that is refused")
    begun = list(worker.begun)
    signups.publish(*users(3, 4))
    assert worker.begun == begun
    signups.admin.delete_acls([deny])
    wait_until(lambda: signups.lag() == 0, "an empty topic")
    assert worker.send(signal.SIGTERM).ended() == 0
    assert_each_once(users(*range(5)), worker)
    assert len(worker.err) == 2
    assert "AuthorizationFailed" in worker.err[0] and "back again" in worker.err[1]


@pytest.mark.parametrize("user", ["reader", "topicless"])
def test_a_producer_that_may_not_write_says_so(start, signups, secured, user):
    env = {**secured, "KAFKA_SASL_PLAIN_USERNAME": user}
    producer = start(PRODUCER, "--count", 2, env=env)
    assert producer.ended(15) == 1
    assert re.search("authorization", producer.err[0], re.IGNORECASE)
    assert [line for line in producer.err if not line.startswith("error: ")] == []
    assert producer.count("Published message") == 0 and signups.log() == []


def test_a_producer_that_may_only_write_uses_the_topic_that_is_there(start, signups, secured):
    env = {**secured, "KAFKA_SASL_PLAIN_USERNAME": "writer"}
    producer = start(PRODUCER, "--count", 2, env=env)
    assert producer.ended() == 0
    assert signups.log() == users(0, 1) and producer.err == []


@pytest.mark.parametrize("signups", [0], indirect=True, ids=["no topic yet"])
def test_a_producer_that_may_not_create_the_topic_says_so(start, signups, secured):
    producer = start(PRODUCER, env={**secured, "KAFKA_SASL_PLAIN_USERNAME": "writer"})
    assert producer.ended(15) == 1
    assert len(producer.err) == 1 and re.search("authorization", producer.err[0], re.IGNORECASE)
    assert signups.topic in producer.err[0]
