"""Records the README's pictures of terminals, from its transcripts, on a real broker.

    pip install asciinema==2.4.0 termtosvg==1.1.0
    python tests/pictures/record.py

asciinema records what happens, and termtosvg draws it.
"""

import os
import pathlib
import shlex
import subprocess
import sys
import tempfile

import pexpect

sys.path += [str(pathlib.Path(__file__).parents[1] / name) for name in ("", "support")]
from broker import Broker
from readme import scenes
from script import ROOT, STREAMING, Script
from terminal import OF_KAFKA_PYTHON, PROMPT, SHELL, Terminal

RECORD = [sys.executable, "-m", "asciinema", "rec", "--quiet", "--idle-time-limit=1.5"]
DRAW = [sys.executable, "-m", "termtosvg", "render"]
LOOK = ["--template", "window_frame", "--loop-delay", "4000"]
PICTURES = {  # name: which transcripts of terminal 3 it shows, and its rows and columns
    "ctrl-c": ([0], (20, 76)),
}
UNRECORDED = (24, 200)
KEY_SECONDS = 0.06  # between two keys that are typed


def plan():
    """Return (terminal, transcript, picture) for each scene but the broker's."""
    scenes_of = {i: name for name, (indices, _) in PICTURES.items() for i in indices}
    found, index = [], 0
    for terminal, transcript in scenes():
        picture = None
        if terminal == "Terminal 3":
            picture = scenes_of.get(index)
            index += 1
        if terminal != "Terminal 1":
            found.append((picture or terminal, transcript, picture))
    return found


def finish(terminal):
    """End the shell, and with it the recording."""
    while OF_KAFKA_PYTHON.match(line := terminal.read()):
        pass
    assert line == PROMPT
    for process in terminal.children():
        if process.name() == "bash":
            process.kill()
    terminal.shell.expect(pexpect.EOF)


def record(directory):
    """Play the README. Return {picture: recording}."""
    casts = {name: directory / name for name in PICTURES}
    broker = Broker(directory / "broker")
    broker.start()
    # The first worker of a new broker is shown a warning about its coordinator.
    first = Script(STREAMING, "--topic", "another", bootstrap=broker.address)
    first.wait_for("waiting for messages")
    first.stop()
    env = {n: v for n, v in os.environ.items() if n != "PYTHONUNBUFFERED"}
    env["PATH"] = f"{pathlib.Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    env.update(KAFKA_BOOTSTRAP_SERVERS=broker.address, SHELL="bash")
    terminals = {}
    try:
        for name, transcript, picture in plan():
            if name not in terminals:
                command, size = SHELL, UNRECORDED
                if picture:
                    rest = ["--command", f"exec {SHELL}", str(casts[picture])]
                    command = shlex.join([*RECORD, *rest])
                    size = PICTURES[picture][1]
                terminals[name] = Terminal(ROOT, env, command, size)
            pace = KEY_SECONDS if picture else 0
            terminals[name].play(transcript, pace)
        for name in PICTURES:
            finish(terminals[name])
    finally:
        for terminal in terminals.values():
            terminal.close()
        broker.kill()
    return casts


def main():
    """Draw each recording into .github/."""
    with tempfile.TemporaryDirectory() as directory:
        for name, cast in record(pathlib.Path(directory)).items():
            picture = ROOT / ".github" / f"{name}.svg"
            subprocess.run([*DRAW, str(cast), str(picture), *LOOK], check=True)
            print(f"{picture}: {picture.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
