"""requirements.txt is all that the scripts and tests/lag.py need, and they need it."""

import subprocess
import venv

import pytest
from script import PRODUCER, ROOT, SCRIPTS, WORKERS, Script


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Let the scripts run by a Python that has only what this function installs."""

    def install(*packages):
        venv.create(tmp_path, with_pip=True)
        python = str(tmp_path / "bin" / "python")
        command = [python, "-m", "pip", "install", "--disable-pip-version-check"]
        subprocess.run([*command, *packages], check=True)
        monkeypatch.setattr("sys.executable", python)

    return install


def test_what_requirements_txt_installs_is_enough(start, complete, signups, install):
    install("-r", ROOT / "requirements.txt")
    for worker in WORKERS:
        complete(PRODUCER)
        complete(worker)
    lag = start("tests/lag.py")
    assert lag.ended() == 0
    assert lag.out[1].split() == ["0", "20", "20", "0"]


def test_another_kafka_python_is_named_at_once(bootstrap, install):
    """The article installs the newest one, which is 3.0 or later."""
    install("kafka-python>=3")
    needed = "kafka-python 2.3 is needed: pip install -r requirements.txt"
    for name in SCRIPTS:
        script = Script(name, bootstrap=bootstrap)
        script.failed()
        assert script.err == [f"error: {needed}\n"] and script.out == [], script
