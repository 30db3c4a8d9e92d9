"""requirements.txt is all that the scripts and tests/lag.py need."""

import subprocess
import venv

from script import PRODUCER, ROOT, WORKERS


def test_what_requirements_txt_installs_is_enough(
    start, complete, signups, tmp_path, monkeypatch
):
    venv.create(tmp_path, with_pip=True)
    python = str(tmp_path / "bin" / "python")
    install = [python, "-m", "pip", "install", "--disable-pip-version-check", "-r"]
    subprocess.run([*install, ROOT / "requirements.txt"], check=True)
    monkeypatch.setattr("sys.executable", python)
    for worker in WORKERS:
        complete(PRODUCER)
        complete(worker)
    lag = start("tests/lag.py")
    assert lag.ended() == 0
    assert lag.out[1].split() == ["0", "20", "20", "0"]
