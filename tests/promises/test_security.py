"""TLS, passwords, client certificates and rights. The environment is all they take."""

import base64
import pathlib
import re
import time

import pytest
from confluent_kafka import admin
from people import assert_each_once, users
from script import BATCH, PRODUCER, SCRIPTS, STREAMING, pace, quick
from secure import PASSWORD, needs_scram

GIVE_UP = 15  # seconds that a script may take to report a refused connection
WRONG = PASSWORD.replace("s3cr3t", "gu3ss3d")
PLAIN_PORT, NUMBER = "the open listener", "the listener, by its number"
KEY, STRANGERS_KEY = "client-key.pem", "stranger-key.pem"
LOCKED_KEY = {"SSL_KEYFILE": "client-locked-key.pem"}
SCRAM = {"SASL_MECHANISM": "SCRAM-SHA-256"}
REFUSED = {  # what the output must name: what is wrong, the variables that differ
    "Authentication failed": {
        "a wrong password by PLAIN": {"SASL_PLAIN_PASSWORD": WRONG},
        "a wrong password by SCRAM": {"SASL_PLAIN_PASSWORD": WRONG, **SCRAM},
        "an unknown user": {"SASL_PLAIN_USERNAME": "nobody", **SCRAM},
    },
    "authenticating": {
        "no password": {"SASL_PLAIN_PASSWORD": ""},
        "a mechanism that is not enabled": {"SASL_MECHANISM": "SCRAM-SHA-512"},
    },
    "KeyError": {
        "a mechanism that does not exist": {"SASL_MECHANISM": "CRAM"},
        "no mechanism": {"SASL_MECHANISM": ""},
    },
    "certificate verify failed": {
        "an unknown CA": {"SSL_CAFILE": "other-ca.pem"},
        "a certificate for another name": {"BOOTSTRAP_SERVERS": NUMBER},
    },
    "No such file": {"a CA file that does not exist": {"SSL_CAFILE": "no-ca.pem"}},
    "certificate": {"a CA file without a CA": {"SSL_CAFILE": "server.properties"}},
    "disconnected": {
        "no TLS on a TLS port": {"SECURITY_PROTOCOL": ""},
        "SASL without TLS on a TLS port": {"SECURITY_PROTOCOL": "SASL_PLAINTEXT"},
        "TLS without SASL on a SASL port": {"SECURITY_PROTOCOL": "SSL"},
    },
    "SSL": {"TLS on a plain port": {"BOOTSTRAP_SERVERS": PLAIN_PORT}},
    "security_protocol": {
        "a protocol that does not exist": {"SECURITY_PROTOCOL": "SASL_TLS"},
        "a protocol in small letters": {"SECURITY_PROTOCOL": "sasl_ssl"},
    },
    "": {  # by mutual TLS
        "no client certificate": {"SSL_CERTFILE": "", "SSL_KEYFILE": ""},
        "no such certificate": {"SSL_CERTFILE": "no.pem", "SSL_KEYFILE": KEY},
        "the key of another one": {"SSL_KEYFILE": STRANGERS_KEY},
        "no passphrase for the key": LOCKED_KEY,
        "a wrong passphrase": {**LOCKED_KEY, "SSL_PASSWORD": WRONG},
        "a client of another CA": {
            "SSL_CERTFILE": "stranger.pem",
            "SSL_KEYFILE": STRANGERS_KEY,
        },
    },
}
CASES = [
    pytest.param(cause, differs, id=what)
    for cause, cases in REFUSED.items()
    for what, differs in cases.items()
]


def change(environment, differs):
    """Return an environment with these variables altered. Files are beside the CA."""
    if SCRAM.items() <= differs.items():
        needs_scram()
    folder = pathlib.Path(environment["KAFKA_SSL_CAFILE"]).parent
    files = {k: folder / v for k, v in differs.items() if v and k.endswith("FILE")}
    changes = {f"KAFKA_{name}": value for name, value in {**differs, **files}.items()}
    return {**environment, **changes}


def few(script):
    """Return flags with which a script is done, or ready to stop, within a second."""
    return [*quick(script), *(["--count", 5] if script == PRODUCER else [])]


def forms(password):
    """Return the password, and how a log may show it: escaped, encoded, in part."""
    texts = [password, f"alice\0alice\0{password}", f"\0alice\0{password}"]
    encoded = [base64.b64encode(text.encode()).decode() for text in texts]
    shown = [repr(password), ascii(password), repr(password.encode())[1:]]
    word = re.search(r"\w+", password)[0]
    return [password, *(text[1:-1] for text in shown), *encoded, word]


def assert_password_is_kept(script, password=PASSWORD):
    printed = "".join([*script.out, *script.err])
    assert [form for form in forms(password) if form in printed] == []


LOG_INS = {
    "PLAIN": {},
    "SCRAM": SCRAM,
    "mutual TLS": {"SSL_KEYFILE": KEY},
    "a key with a passphrase": {**LOCKED_KEY, "SSL_PASSWORD": PASSWORD},
}


@pytest.mark.parametrize("differs", LOG_INS.values(), ids=LOG_INS)
def test_a_log_in_takes_the_environment_only(
    start, signups, secured, mutual, worker_script, differs
):
    environment = change(mutual if "SSL_KEYFILE" in differs else secured, differs)
    worker = start(worker_script, *few(worker_script), env=environment)
    producer = start(PRODUCER, *few(PRODUCER), env=environment)
    assert producer.ended() == 0
    signups.wait_until_done()
    worker.stop()
    assert_each_once(users(*range(5)), worker)
    for ended in (producer, worker):
        assert not re.search("ERROR|error:|Traceback", "".join(ended.problems)), ended
        assert_password_is_kept(ended)


@pytest.mark.parametrize(("cause", "differs"), CASES)
def test_a_refused_connection_ends_the_script(
    start, signups, secured, mutual, bootstrap, cause, differs
):
    """Each of the scripts says why it fails, says nothing twice, and ends soon."""
    signups.publish(*users(0))
    port = secured["KAFKA_BOOTSTRAP_SERVERS"].rpartition(":")[2]
    addresses = {PLAIN_PORT: bootstrap, NUMBER: f"127.0.0.1:{port}"}
    differs = {name: addresses.get(value, value) for name, value in differs.items()}
    environment = change(mutual if "SSL_KEYFILE" in differs else secured, differs)
    started_at = time.monotonic()
    for script in [start(name, *few(name), env=environment) for name in SCRIPTS]:
        script.failed(environment["KAFKA_BOOTSTRAP_SERVERS"])
        assert time.monotonic() - started_at < GIVE_UP
        assert re.search(cause, "".join(script.err), re.IGNORECASE)
        assert script.repeated == [], script
        for password in (PASSWORD, WRONG):
            assert_password_is_kept(script, password)
    assert signups.log() == users(0) and signups.committed() == 0


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256"])
@pytest.mark.parametrize("password", [PASSWORD, WRONG], ids=["taken", "refused"])
def test_the_password_is_in_no_log(
    start, signups, secured, any_script, mechanism, password
):
    signups.publish(*users(0))
    differs = {"SASL_MECHANISM": mechanism, "SASL_PLAIN_PASSWORD": password}
    environment = change(secured, differs)
    altered = "logs_everything"
    script = start(any_script, *few(any_script), env=environment, altered=altered)
    if password == WRONG:
        assert script.ended(GIVE_UP) == 1
    elif any_script == PRODUCER:
        assert script.ended() == 0
    else:
        script.wait_for("finished processing")
        script.stop()
    assert "INFO:kafka" in "".join(script.err)
    assert_password_is_kept(script, password)


LACKING = {  # users who lack a right that the script needs
    PRODUCER: ["topicless", "reader"],
    STREAMING: ["topicless", "groupless"],
    BATCH: ["topicless", "groupless"],
}


@pytest.mark.parametrize(
    ("script", "user"),
    [(script, user) for script in SCRIPTS for user in LACKING[script]],
)
def test_a_script_whose_user_lacks_a_right_ends(start, signups, secured, script, user):
    signups.publish(*users(0))
    environment = {**secured, "KAFKA_SASL_PLAIN_USERNAME": user}
    refused = start(script, *few(script), env=environment)
    refused.failed(seconds=GIVE_UP)
    assert "AuthorizationFailed" in "".join(refused.err)
    assert refused.begun == refused.published == []
    assert signups.log() == users(0) and signups.committed() == 0


@pytest.mark.parametrize("kind", ["topic", "group"])
def test_a_worker_that_lost_a_right_is_started_again(
    start, signups, complete, secured, worker_script, kind
):
    """It ends with status 1. The next one goes on at the committed offset."""
    resource = admin.ResourceType[kind.upper()], getattr(signups, kind)
    whom = admin.ResourcePatternType.LITERAL, "User:alice", "*"
    rule = *resource, *whom, admin.AclOperation.READ, admin.AclPermissionType.DENY
    signups.publish(*users(*range(5)))
    first = start(worker_script, *pace(worker_script, 0.5), env=secured)
    first.wait_for("sending email")
    signups.ask("create_acls", [admin.AclBinding(*rule)])
    first.failed()
    assert re.search("authoriz", "".join(first.err), re.IGNORECASE)
    handled = signups.committed()

    signups.ask("delete_acls", [admin.AclBindingFilter(*rule)])
    second = complete(worker_script, env=secured)
    assert {*first.finished} >= {*users(*range(handled))}
    assert second.begun == users(*range(handled, 5))


def test_a_producer_that_may_only_write_uses_the_topic(start, signups, secured):
    environment = {**secured, "KAFKA_SASL_PLAIN_USERNAME": "writer"}
    producer = start(PRODUCER, "--count", 2, env=environment)
    assert producer.ended() == 0
    assert producer.problems == [] and signups.log() == users(0, 1)


@pytest.mark.parametrize("signups", [0], indirect=True, ids=["no topic"])
def test_a_producer_that_may_not_create_the_topic_ends(start, signups, secured):
    environment = {**secured, "KAFKA_SASL_PLAIN_USERNAME": "writer"}
    producer = start(PRODUCER, env=environment)
    producer.failed(signups.topic, seconds=GIVE_UP)
    assert "AuthorizationFailed" in "".join(producer.err)
