"""tests/broker.py, as a reader runs it."""

import signal
import socket

import psutil
import pytest
from broker import free_port
from jars import VERSION
from script import LIMIT, STOPS, Script
from signups import SignUps

BROKER = "tests/broker.py"
START = 150  # seconds that a start, or a download, may take


@pytest.fixture
def run():
    """Run tests/broker.py. What still runs in the end is killed, Java included."""
    brokers = []

    def run(*flags, **env):
        env["KAFKA_VERSION"] = VERSION
        brokers.append(Script(BROKER, *flags, bootstrap="", env=env))
        return brokers[-1]

    yield run
    for broker in brokers:
        for child in children(broker):
            child.kill()
        broker.kill()


def children(broker):
    """Return the processes that this one has started."""
    if broker.process.poll() is not None:
        return []
    return psutil.Process(broker.process.pid).children(recursive=True)


@pytest.mark.parametrize("number", STOPS)
def test_it_runs_until_a_signal_and_leaves_nothing_behind(run, tmp_path, number):
    place = tmp_path / "d\u00e4t\u00e4 \\ \u6f22"  # a name that is hard to pass on
    place.mkdir()
    port = free_port()
    broker = run("--port", port, TMPDIR=place, LC_ALL="C")
    broker.wait_for(f"is ready at localhost:{port}", seconds=START)
    SignUps(f"localhost:{port}").publish("user0@gmail.com")
    java = children(broker)
    assert len(java) == 1
    assert len([*place.iterdir()]) == 1
    broker.send(number)
    broker.stop(number)
    assert psutil.wait_procs(java, timeout=LIMIT)[1] == []
    assert [*place.iterdir()] == []
    assert broker.err == []


def test_a_port_that_is_taken_is_named(run):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        broker = run("--port", taken.getsockname()[1])
        assert broker.ended() == 1
        assert len(broker.err) == 1
        assert f"port {taken.getsockname()[1]} " in broker.err[0]


def test_an_interrupted_download_leaves_nothing_behind(run, tmp_path):
    broker = run("--port", free_port(), XDG_CACHE_HOME=tmp_path)
    broker.wait_for("downloading", times=3, seconds=START)
    assert [*tmp_path.glob("*kafka-*")] != []
    broker.stop(signal.SIGINT)
    assert [*tmp_path.glob("*kafka-*")] == []
