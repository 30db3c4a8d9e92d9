"""Records the README's pictures, from the README's own transcripts, on a real broker.

    python tests/record.py         after: pip install asciinema==2.4.0 termtosvg==1.1.0

asciinema records what happens, termtosvg draws it.
"""

import os
import pathlib
import shlex
import subprocess
import sys
import tempfile

import pexpect
from broker import Broker
from kit import ROOT
from readme import scenes
from terminal import PROMPT, Terminal

SHELL = "bash --norc --noprofile --noediting"
ASCIINEMA = [sys.executable, "-m", "asciinema", "rec", "--quiet", "--idle-time-limit", "1.5"]
TERMTOSVG = [sys.executable, "-m", "termtosvg", "render"]
PICTURES = {  # name: the transcripts in terminal 3 that it shows, and its size in rows and columns
    "ctrl-c": ([0, 1], (18, 72)),
    "last-flush": ([3, 4], (30, 100)),
}


def finish(terminal):
    """End the shell, and with it the recording."""
    assert terminal.read() == PROMPT
    for process in terminal.process.children(recursive=True):
        if process.name() == "bash":
            process.kill()
    terminal.shell.expect(pexpect.EOF)


def record(directory):
    """Play the README; return {name: recording}."""
    broker = Broker(directory / "broker")
    broker.start()
    path = f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "KAFKA_BOOTSTRAP_SERVERS": broker.address, "SHELL": "bash"}
    owners = {index: name for name, (indices, _) in PICTURES.items() for index in indices}
    terminals, index = {"Terminal 2": Terminal(ROOT, env)}, 0
    try:
        for name, transcript in scenes():
            if name == "Terminal 1":
                continue
            picture = None
            if name == "Terminal 3":
                picture = owners.get(index)
                name, index = picture or name, index + 1
            if name not in terminals:
                command = SHELL
                if picture:
                    cast = str(directory / picture)
                    command = shlex.join([*ASCIINEMA, "--command", f"exec {SHELL}", cast])
                size = PICTURES[picture][1] if picture else (24, 200)
                terminals[name] = Terminal(ROOT, env, command, size)
            transcript = transcript.replace("localhost:9092", broker.address)
            terminals[name].play(transcript, pace=0.06 if picture else 0)
        for name in PICTURES:
            finish(terminals[name])
    finally:
        for terminal in terminals.values():
            terminal.close()
        broker.kill()
    return {name: directory / name for name in PICTURES}


def main():
    """Draw each recording into .github/."""
    with tempfile.TemporaryDirectory() as directory:
        for name, cast in record(pathlib.Path(directory)).items():
            picture = ROOT / ".github" / f"{name}.svg"
            template = ["--template", "window_frame", "--loop-delay", "4000"]
            subprocess.run([*TERMTOSVG, str(cast), str(picture), *template], check=True)
            print(f"{picture}: {picture.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
