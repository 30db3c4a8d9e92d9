"""docker-compose.yml is accepted, and what it promises for the scripts is in it."""

import subprocess

import pytest
import yaml
from script import ROOT, SCRIPTS

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
def test_a_command_is_a_list(script):
    """A shell would stand between Docker's SIGTERM and the script, and keep it."""
    assert SERVICES[OURS[script]]["command"] == ["python", script]


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_worker_that_failed_is_started_again(script):
    """The producer is not: it would sign the same users up once more."""
    expected = None if script == "producer.py" else "on-failure"
    assert SERVICES[OURS[script]].get("restart") == expected
