"""docker-compose.yml is accepted, and what it promises for the scripts is in it."""

import subprocess

import pytest
import yaml
from script import PRODUCER, ROOT, SCRIPTS

FILE = ROOT / "docker-compose.yml"
SERVICES = yaml.safe_load(FILE.read_text(encoding="utf-8"))["services"]
OURS = {script: script[:-3].replace("_", "-") for script in SCRIPTS}


def compose(*words):
    command = ["docker", "compose", "--file", FILE, "--profile", "*", *words]
    return subprocess.run(command, capture_output=True, text=True)


def test_docker_compose_accepts_the_file():
    try:
        compose("version").check_returncode()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs docker with its compose plugin, but no running engine")
    checked = compose("config", "--services")
    assert checked.returncode == 0, checked.stderr
    assert sorted(checked.stdout.split()) == sorted(SERVICES)


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_service_gets_the_signal_and_a_worker_that_failed_is_started_again(script):
    """A shell would keep Docker's SIGTERM. A producer would sign up users once more."""
    service = SERVICES[OURS[script]]
    assert service["command"] == ["python", script]
    assert service.get("restart") == (None if script == PRODUCER else "on-failure")
