"""tests/broker.py, run by hand."""

import signal
import socket

import psutil
import pytest
from broker import free_port
from kafka.admin import KafkaAdminClient
from kit import LIMIT, Script

BROKER = "tests/broker.py"


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGINT,
        pytest.param(signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param(signal.SIGHUP, marks=pytest.mark.slow),
    ],
)
def test_it_runs_until_a_signal_and_leaves_nothing_behind(tmp_path, number):
    port = free_port()
    broker = Script(BROKER, "--port", port, bootstrap="", env={"TMPDIR": tmp_path})
    broker.wait_for(f"is ready at localhost:{port}")
    KafkaAdminClient(bootstrap_servers=f"localhost:{port}").close()
    children = psutil.Process(broker.process.pid).children(recursive=True)
    assert len(children) == 1 and len(list(tmp_path.iterdir())) == 1
    assert broker.send(number, number).ended() == 0
    assert psutil.wait_procs(children, timeout=LIMIT)[1] == []
    assert list(tmp_path.iterdir()) == [] and broker.err == []


@pytest.mark.slow
def test_data_is_kept_when_a_directory_is_named(tmp_path):
    for topics in [set(), {"kept"}]:
        port = free_port()
        broker = Script(BROKER, "--port", port, "--data", tmp_path / "data", bootstrap="")
        broker.wait_for("is ready at")
        admin = KafkaAdminClient(bootstrap_servers=f"localhost:{port}")
        assert set(admin.list_topics()) == topics
        if not topics:
            admin.create_topics({"kept": {"num_partitions": 1}})
        admin.close()
        assert broker.send(signal.SIGINT).ended() == 0


def test_a_port_that_is_taken_is_named():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        broker = Script(BROKER, "--port", taken.getsockname()[1], bootstrap="")
        assert broker.ended() == 1
        assert len(broker.err) == 1 and str(taken.getsockname()[1]) in broker.err[0]
