"""Records the README's picture of Ctrl+C: its transcript, on a real broker.

    pip install asciinema==2.4.0 termtosvg==1.1.0
    python tests/pictures/record.py

asciinema records what happens, and termtosvg draws it.
"""

import pathlib
import shlex
import subprocess
import sys
import tempfile

import pexpect
import psutil

sys.path += [str(pathlib.Path(__file__).parents[1] / name) for name in ("", "support")]
from broker import Broker
from readme import RECORDED
from script import PRODUCER, ROOT, STREAMING, Script, environment
from terminal import PATH, PROMPT, SHELL, Terminal

ASCIINEMA = [sys.executable, "-m", "asciinema", "rec", "-q", "--idle-time-limit=1.5"]
TERMTOSVG = [sys.executable, "-m", "termtosvg", "render"]
LOOK = ["--template", "window_frame", "--loop-delay", "4000"]


def record(cast, bootstrap):
    """Sign users up, and record the worker that the README stops by Ctrl+C."""
    # The first worker of a new broker is shown a warning about its coordinator.
    first = Script(STREAMING, "--topic", "another", bootstrap=bootstrap)
    first.wait_for("waiting for messages")
    first.stop()
    assert Script(PRODUCER, bootstrap=bootstrap).ended() == 0
    env = {**environment(bootstrap), "PATH": PATH}
    command = shlex.join([*ASCIINEMA, "--command", f"exec {SHELL}", cast])
    terminal = Terminal(ROOT, env, command, size=(20, 76))
    terminal.play(RECORDED, pace=0.06)
    terminal.expect(PROMPT)
    for child in psutil.Process(terminal.shell.pid).children():
        if child.name() == "bash":
            child.kill()  # with it, the recording ends
    terminal.shell.expect(pexpect.EOF)


with tempfile.TemporaryDirectory() as directory:
    cast = f"{directory}/cast"
    broker = Broker(f"{directory}/broker")
    broker.start()
    try:
        record(cast, broker.address)
    finally:
        broker.kill()
    picture = str(ROOT / ".github" / "ctrl-c.svg")
    subprocess.run([*TERMTOSVG, cast, picture, *LOOK], check=True)
