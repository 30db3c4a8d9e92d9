"""The README's Troubleshooting: its rows are what scripts say, and its cure cures."""

import itertools
import re
import socket
import subprocess
import sys

import pytest
from kafka import KafkaProducer
from people import users
from readme import SECTIONS, blocks, quotes, tables
from script import PRODUCER, ROOT, STREAMING, WORKERS, Script, environment, quick
from terminal import pattern

TRIED = [PRODUCER, STREAMING]
COPIES = "offsets.topic.replication.factor"
VARIES = r"(?<=localhost:)\d+|(?<=port )\d+|(?<=error )\d+"  # here, or elsewhere


@pytest.fixture
def failures(start, signups, nowhere, own_broker, secured):
    """The mistakes of the first day: what they are, and the scripts that meet them."""
    wrong = {**secured, "KAFKA_SASL_PLAIN_PASSWORD": "wrong"}
    stranger = {**secured, "KAFKA_SSL_CAFILE": ""}
    address = secured["KAFKA_BOOTSTRAP_SERVERS"]
    bare = {"KAFKA_BOOTSTRAP_SERVERS": address}
    tls = {**secured, "KAFKA_BOOTSTRAP_SERVERS": signups.bootstrap}
    sasl = {**tls, "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT"}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        second = Script("tests/broker.py", "--port", port, bootstrap=nowhere)
        second.ended()

    def meet(scripts, **properties):
        own_broker.kill()
        own_broker.properties.update(properties)
        own_broker.start()
        met = [start(script, bootstrap=own_broker.address) for script in scripts]
        for script in met:
            script.ended()
        return met

    long_session = {COPIES: 1, "group.min.session.timeout.ms": 30_000}
    another_name = {"advertised.listeners": "PLAINTEXT://redpanda:29092"}
    return {
        "another broker": [second],
        "three copies": meet([STREAMING], **{COPIES: 3}),
        "of 10 seconds": meet(WORKERS, **long_session),
        "calls itself": meet(TRIED, **another_name),
        "nothing listens": [start(s, bootstrap=nowhere) for s in TRIED],
        "wrong user": [start(s, bootstrap=address, env=wrong) for s in TRIED],
        "the authority": [start(s, bootstrap=address, env=stranger) for s in TRIED],
        "another protocol": [start(s, env=e) for s in TRIED for e in (bare, tls, sasl)],
    }


@pytest.mark.slow
def test_the_first_row_that_fits_is_the_right_one(failures):
    rows = itertools.chain(*tables("Troubleshooting"))
    looks = {row[1]: re.sub(VARIES, "...", row[0]) for row in rows}
    for cause, scripts in failures.items():
        for script in scripts:
            script.failed()
            fitting = (
                meaning
                for meaning, look in looks.items()
                if any(re.search(pattern(q), "".join(script.err)) for q in quotes(look))
            )
            assert cause in next(fitting), script


class NotUTF8(str):
    """A header's name that kafka-python can send, and cannot read."""

    def encode(self, *_):
        return b"\xff"


def test_the_group_is_moved_past_a_record_that_cannot_be_read(
    start, signups, complete, worker_script
):
    """By the README's own code, with the names and the offsets that it has here.

    User4 is in the same batch, which kafka-python reads from its beginning.
    """
    producer = KafkaProducer(bootstrap_servers=signups.bootstrap, linger_ms=500)
    for email in users(0, 1, 2, 3, 4):
        headers = [(NotUTF8(), b"")] if email == "user3@gmail.com" else []
        producer.send(signups.topic, email.encode(), headers=headers)
    producer.close()
    signups.publish(*users(5))
    [code] = blocks("python", SECTIONS["Troubleshooting"])
    code = code.replace("user_signups", signups.topic).replace("group1", signups.group)
    for offset in (3, 4):
        start(worker_script, *quick(worker_script)).failed("CorruptRecordError")
        assert signups.committed() == offset
        move = code.replace("(4,", f"({offset + 1},")
        env = environment(signups.bootstrap)
        subprocess.run([sys.executable, "-c", move], cwd=ROOT, env=env, check=True)
    assert complete(worker_script).finished == users(5)
