"""What docker-compose.yml promises, read from the file: only the last test needs Docker."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES = COMPOSE["services"]
SCRIPTS = ["streaming-worker", "batch-worker", "producer"]
PROFILES = {
    "console": ["console"],
    "streaming-worker": ["workers"],
    "batch-worker": ["workers"],
    "producer": ["tools"],
}
LONGEST_STOP = 2 * 0.5 + 15  # both steps of the work in hand, then what a missing broker may cost


def each(services, sentence):
    """Run a test once for each service; its id is the sentence, about that service."""
    return pytest.mark.parametrize("service", services, ids=map(sentence.format, services))


def listeners(flag):
    """Return {listener: (host, port)}, the value of a flag of the broker."""
    [value] = [arg for arg in SERVICES["redpanda"]["command"] if arg.startswith(f"{flag}=")]
    return {name: (host, port) for name, host, port in re.findall(r"(\w+)://(.+?):(\d+)", value)}


def test_no_service_is_left_out_below_and_no_version_line_that_compose_calls_obsolete_is_there():
    assert SERVICES.keys() == {"redpanda", *PROFILES}
    assert "version" not in COMPOSE


def test_the_broker_is_in_every_profile_and_has_a_health_check():
    assert "profiles" not in SERVICES["redpanda"]
    assert SERVICES["redpanda"]["healthcheck"]["test"] == ["CMD", "rpk", "cluster", "info"]
    assert not SERVICES["redpanda"]["healthcheck"].get("disable")


@each(PROFILES, "{} starts with its profile, after a healthy broker, and stops before it")
def test_order(service):
    assert SERVICES[service]["profiles"] == PROFILES[service]
    assert SERVICES[service]["depends_on"] == {"redpanda": {"condition": "service_healthy"}}


@each(["redpanda", "console"], "{} has a full version, not a tag that moves")
def test_image(service):
    assert re.fullmatch(r"[\w./-]+:v\d+\.\d+\.\d+", SERVICES[service]["image"])


@each(SCRIPTS, "{} is built from a versioned python and requirements.txt")
def test_build(service):
    pattern = r"FROM python:3\.\d+-slim\n(.*\n)*COPY requirements.txt .*\nRUN pip .* -r req"
    assert re.match(pattern, SERVICES[service]["build"]["dockerfile_inline"])


def test_clients_in_the_network_and_on_the_host_are_sent_on_to_an_address_that_they_can_reach():
    advertised = listeners("--advertise-kafka-addr")
    assert advertised == {"internal": ("redpanda", "29092"), "external": ("localhost", "9092")}
    bound = {name: ("0.0.0.0", port) for name, (_, port) in advertised.items()}
    assert listeners("--kafka-addr") == bound


@each(["redpanda", "console"], "{} is there for this computer only, under one port number")
def test_ports(service):
    port = {"redpanda": 9092, "console": 8080}[service]
    assert SERVICES[service]["ports"] == [f"127.0.0.1:{port}:{port}"]


@each(PROFILES, "{} uses the broker's listener for the network")
def test_bootstrap(service):
    variable = "KAFKA_BOOTSTRAP_SERVERS" if service in SCRIPTS else "KAFKA_BROKERS"
    assert SERVICES[service]["environment"] == {variable: "redpanda:29092"}


@each(SCRIPTS, "{} is python itself, no shell and no init, so that signals reach the script")
def test_command(service):
    script = service.replace("-", "_") + ".py"
    assert SERVICES[service]["command"] == ["python", script]
    assert (ROOT / script).is_file()
    assert SERVICES[service]["volumes"] == [".:/app:ro"]
    assert not {"entrypoint", "init", "stop_signal"} & SERVICES[service].keys()


@each(SCRIPTS, "{} has the time to finish its work before it is killed")
def test_grace(service):
    period = re.fullmatch(r"(?:(\d+)m)?(?:(\d+)s)?", SERVICES[service]["stop_grace_period"])
    minutes, seconds = period.groups(default="0")
    assert int(minutes) * 60 + int(seconds) > LONGEST_STOP


@each(SCRIPTS, "{} can be scaled, it claims no name and no port")
def test_scale(service):
    assert not {"container_name", "hostname", "network_mode", "ports"} & SERVICES[service].keys()


def test_docker_compose_accepts_the_file():
    def compose(*args):
        return subprocess.run(["docker", "compose", *args], capture_output=True, text=True)

    try:
        compose("version").check_returncode()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs docker with its compose plugin")
    profiles = [f"--profile={name}" for [name] in PROFILES.values()]
    config = compose("-f", str(ROOT / "docker-compose.yml"), *profiles, "config", "--quiet")
    assert config.returncode == 0, config.stderr
